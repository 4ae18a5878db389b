"""The zoo: architectures of torchvision, with the contract that their weights' metadata gives."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import torch

from edgepack import toml
from edgepack.contract import Output
from edgepack.errors import SourceError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@cache
def _models() -> Any:
    """torchvision.models, importable also where its compiled operators do not load.

    Beside a torch built for another device they do not, and the import then fails for want of two
    operators' schemas; models, weights' metadata and transforms need none of them.
    """
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as cause:
        if "torchvision::" not in str(cause):
            raise
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS.values():
        library.define(schema)
    _KEPT.append(library)
    return importlib.import_module("torchvision.models")


_KEPT: list[torch.library.Library] = []


def build(name: str) -> torch.nn.Module:
    """The architecture `name`, without weights. Raises SourceError where torchvision has none."""
    models = _models()
    if name not in models.list_models():
        raise SourceError(f"torchvision has no '{name}': {toml.near(name, models.list_models())}")
    module: torch.nn.Module = models.get_model(name, weights=None)
    return module


def cached(name: str) -> Path:
    """Weights of `name` in torchvision's own cache. Raises SourceError where there are none."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    known = [each.url.rsplit("/", 1)[1] for each in reversed(list(_models().get_model_weights(name)))]
    for file in known:
        path = folder / str(file)
        if path.is_file():
            return path
    raise SourceError(
        f"there are no weights for torchvision:{name}: edgepack works offline and downloads none",
        hint=f"give --weights FILE, or put one of {', '.join(known) or 'its files'} into {folder}",
    )


def contract(name: str, weights: Path) -> tuple[dict[str, Any], Output, str]:
    """The input's table, the output, and in words which weights' metadata they come from.

    The weights are known by their file's name; of others, the first published ones' metadata is
    taken, and said. Raises SourceError where the metadata is not a picture classifier's.
    """
    published = list(_models().get_model_weights(name))
    match = next((each for each in published if each.url.endswith(f"/{weights.name}")), None)
    entry = match or published[0]
    preset = entry.transforms()
    if not hasattr(preset, "crop_size") or "categories" not in entry.meta:
        raise SourceError(
            f"torchvision's metadata of {name} is not a picture classifier's",
            hint="say what it takes with --input, or in an edgepack.toml",
        )
    crop = preset.crop_size[0]
    table = {
        "kind": "image",
        "size": [crop, crop],
        "resize": "shorter-side",
        "resize_to": preset.resize_size[0],
        "interpolation": preset.interpolation.value,
        "mean": list(preset.mean),
        "std": list(preset.std),
    }
    labels = tuple(entry.meta["categories"])
    output = Output(kind="classification", labels=labels, activation="softmax")
    known = "" if match else f", assumed of {weights.name}"
    return table, output, f"torchvision's metadata of {entry}{known}"
