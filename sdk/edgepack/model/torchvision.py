"""Architectures of torchvision, with the contract in the metadata of their weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from edgepack import toml
from edgepack.contract import Output
from edgepack.errors import SourceError
from edgepack.model import torchvision_operators


def _models() -> Any:
    """torchvision.models, importable even if torchvision's compiled operators cannot be loaded."""
    torchvision_operators.declare()
    return importlib.import_module("torchvision.models")


def build(name: str) -> torch.nn.Module:
    """The architecture `name`, without weights. Raises SourceError if torchvision does not have it."""
    models = _models()
    if name not in models.list_models():
        raise SourceError(f"torchvision has no '{name}': {toml.near(name, models.list_models())}")
    module: torch.nn.Module = models.get_model(name, weights=None)
    return module


def cached(name: str) -> Path:
    """Weights of `name` in torchvision's own cache. Raises SourceError if there are none."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    known = [entry.url.rsplit("/", 1)[1] for entry in reversed(list(_models().get_model_weights(name)))]
    for file in known:
        path = folder / str(file)
        if path.is_file():
            return path
    raise SourceError(
        f"there are no weights for torchvision:{name}: edgepack works offline and does not download them",
        hint=f"give --weights FILE, or put one of {', '.join(known) or 'its files'} into {folder}",
    )


def contract(name: str, weights: Path) -> tuple[dict[str, Any], Output, str]:
    """The input's table, the output, and which metadata they come from, in words.

    Weights are identified by their file name; for unknown names, the metadata of the first published weights
    is used, and the text says so. Raises SourceError if the metadata is not that of an image classifier.
    """
    published = list(_models().get_model_weights(name))
    match = next((known for known in published if known.url.endswith(f"/{weights.name}")), None)
    entry = match or published[0]
    preset = entry.transforms()
    if not hasattr(preset, "crop_size") or "categories" not in entry.meta:
        raise SourceError(
            f"torchvision's metadata of {name} is not that of an image classifier",
            hint="declare its input with --input, or in an edgepack.toml",
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
    assumed = "" if match else f", assumed for {weights.name}"
    return table, output, f"torchvision's metadata of {entry}{assumed}"
