"""Weights: read a state dict from a file, without running code that a pickle may contain, and load it."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from edgepack.errors import SourceError

StateDict = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_SHOWN = 3


def read(path: Path, *, trust_pickle: bool) -> StateDict:
    """The state dict in a `.safetensors`, `.pth` or `.pt` file.

    Pickles are read with `weights_only=True` unless `trust_pickle`. Raises SourceError if it cannot be read.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as cause:
            raise SourceError(f"{path} is not a safetensors file: {cause}") from cause
    found = read_pickle(path, trust_pickle=trust_pickle)
    for key in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), (dict, torch.nn.Module)):
            found = found[key]
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise SourceError(f"{path} does not contain a state dict, but {type(found).__name__}")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def read_pickle(path: Path, *, trust_pickle: bool) -> object:
    """The content of a file of `torch.save`. Raises SourceError if `weights_only` refuses it."""
    _check_saved(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as cause:
        if trust_pickle:
            raise SourceError(f"{path} is not a file that torch.save wrote: {cause}") from cause
        raise SourceError(
            f"{path} contains more than tensors: loading it could run code of its author",
            hint="save the state dict only, or add --trust-pickle if you trust its author",
        ) from cause
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as cause:
        raise SourceError(f"{path} cannot be read: {str(cause).partition(chr(10))[0]}") from cause
    except Exception as cause:  # a trusted pickle runs its author's code, which may raise anything
        raise SourceError(f"{path} cannot be unpickled: {type(cause).__name__}: {cause}") from cause


def _check_saved(path: Path) -> None:
    """Raise SourceError unless `path` begins like a zip archive or a binary pickle."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as cause:
        raise SourceError(f"{path} cannot be read: {cause.strerror}") from cause
    if not head.startswith((b"PK", b"\x80")):
        raise SourceError(f"{path} is not a file that torch.save wrote")


def put(state: StateDict, module: torch.nn.Module, path: Path) -> None:
    """Load `state` into `module`. Raises SourceError that names the first keys or shapes that differ."""
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    strange = [key for key in state if key not in own]
    shapes = [
        f"{key} is {_shape(state[key])} in the file, {_shape(own[key])} in the model"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    problems = [
        *([f"the file lacks {_first(missing)}"] if missing else []),
        *([f"the model has no {_first(strange)}"] if strange else []),
        *([_first(shapes)] if shapes else []),
    ]
    if problems:
        raise SourceError(
            f"{path} does not fit the model: {'; '.join(problems)}",
            hint="check that the weights belong to this architecture and number of classes",
        )
    module.load_state_dict(state, strict=False)


def _first(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
