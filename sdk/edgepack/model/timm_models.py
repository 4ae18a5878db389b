"""Architectures of timm, with the contract in their pretrained configuration. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from edgepack import toml
from edgepack.contract import Output
from edgepack.errors import SourceError, first_line
from edgepack.model import checkpoint, packages, weights
from edgepack.model.checkpoint import Checkpoint
from edgepack.model.loaded_model import LoadedModel
from edgepack.silence import quiet

_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a repository of timm, as the cache of huggingface_hub stores them."""


def load(name: str, weights_file: Path | None, *, trust_pickle: bool) -> LoadedModel:
    """The architecture `name`, which may have a tag (`resnet18.a1_in1k`), with weights and its contract.

    The number of classes and of image channels follow from the weights. Raises SourceError if timm does not
    have it, or there are no weights on this host.
    """
    packages.check("timm", "timm")
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    with quiet():
        import timm
    if not timm.is_model(name):
        raise SourceError(f"timm has no '{name}': {toml.near(name.partition('.')[0], timm.list_models())}")
    module = _built(timm, name)
    file = weights_file or _cached(name, module)
    found = checkpoint.read(file, trust_pickle=trust_pickle)
    module, notes = _fitted(timm, name, module, found)
    notes += weights.put(found, module)
    configuration = timm.data.resolve_model_data_config(module)
    table, doubts = _table({**configuration, "in_chans": _channels(module)})
    output = Output(kind="classification", labels=_labels(timm, module), activation="softmax")
    origin = f"contract: timm's pretrained configuration of {name}"
    return LoadedModel(name, module.eval(), (table,), (output,), notes=(*notes, origin, *doubts))


def _built(timm: Any, name: str, **keywords: int) -> torch.nn.Module:
    try:
        with quiet():
            module: torch.nn.Module = timm.create_model(name, pretrained=False, **keywords)
    except Exception as cause:  # timm documents no exceptions of its own
        raise SourceError(f"timm cannot make '{name}': {first_line(cause)}") from cause
    return module


def _fitted(
    timm: Any, name: str, module: torch.nn.Module, found: Checkpoint
) -> tuple[torch.nn.Module, list[str]]:
    """The architecture with as many classes and image channels as the weights have."""
    known: Any = module
    configuration = known.pretrained_cfg
    wanted = {}
    for key, layer, axis in (("num_classes", "classifier", 0), ("in_chans", "first_conv", 1)):
        layers = configuration.get(layer)
        part = layers[0] if isinstance(layers, (tuple, list)) and layers else layers
        own = dict(module.state_dict()).get(f"{part}.weight")
        theirs = [value for place, value in found.tensors.items() if f".{place}".endswith(f".{part}.weight")]
        if own is not None and theirs and theirs[0].ndim == own.ndim:
            size = theirs[0].shape[axis]
            wanted.update({key: size} if size != own.shape[axis] else {})
    if not wanted:
        return module, []
    words = " and ".join(f"{key} = {value}" for key, value in wanted.items())
    return _built(timm, name, **wanted), [f"{name} is made with {words}, as its weights are"]


def _channels(module: Any) -> int:
    """Channels of the image that the first convolution takes; 3 if timm does not name it."""
    layer = module.pretrained_cfg.get("first_conv")
    first = dict(module.state_dict()).get(f"{layer}.weight")
    return 3 if first is None or first.ndim != 4 else int(first.shape[1])


def _cached(name: str, module: Any) -> Path:
    """Weights of `name` in the caches of huggingface_hub and torch. Raises SourceError if there are none."""
    from huggingface_hub import try_to_load_from_cache

    configuration = module.pretrained_cfg
    repository = configuration.get("hf_hub_id") or ""
    for file in _FILES if repository else ():
        path = try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return Path(path)
    file = str(configuration.get("url") or "").rpartition("/")[2]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if file and (folder / file).is_file():
        return folder / file
    raise SourceError(
        f"there are no weights for timm:{name}: edgepack works offline and does not download them",
        hint=f"give --weights FILE, such as model.safetensors of {repository or name}",
    )


def _table(configuration: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The input's table, and notes on what the contract cannot express.

    timm resizes to the size divided by `crop_pct`, then crops (timm/data/transforms_factory.py).
    """
    _, height, width = configuration["input_size"]
    channels, share, mode = (configuration[key] for key in ("in_chans", "crop_pct", "crop_mode"))
    if channels not in (1, 3):
        words = f"an image of {channels} channels is prepared by the app"
        return {"kind": "tensor", "shape": [1, channels, height, width]}, [words]
    table: dict[str, Any] = {
        "kind": "image",
        "size": [height, width],
        "channels": "L" if channels == 1 else "RGB",
        "mean": list(configuration["mean"])[:channels],
        "std": list(configuration["std"])[:channels],
    }
    interpolation = configuration["interpolation"]
    known = interpolation in ("nearest", "bilinear", "bicubic")
    table["interpolation"] = interpolation if known else "bicubic"
    notes = [] if known else [f"timm resizes by '{interpolation}', the contract by bicubic"]
    if mode == "squash" and share == 1:
        table["resize"] = "stretch"
    elif mode == "border":
        table["resize"] = "letterbox"
    else:
        table["resize_to"] = max(int(height / share), int(width / share))
    is_exact = (mode == "center" and height == width) or (mode == "squash" and share == 1)
    if not is_exact:
        notes.append(f"timm's crop_mode '{mode}' at {height}x{width} is approximated: see the contract")
    return table, notes


def _labels(timm: Any, module: Any) -> tuple[str, ...]:
    """Names of the classes, if they are those of ImageNet or of one of its subsets that timm knows."""
    subset = timm.data.infer_imagenet_subset(module)
    if not subset:
        return ()
    known = timm.data.ImageNetInfo(subset)
    return tuple(known.index_to_description(n) for n in range(module.num_classes))
