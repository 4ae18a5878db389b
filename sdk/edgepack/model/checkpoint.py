"""Checkpoints: every tensor in a file of weights, read without running code that a pickle may contain."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from edgepack.errors import SourceError, first_line
from edgepack.silence import quiet

StateDict = dict[str, torch.Tensor]

_DEEPEST = 6
"""Levels of nested dicts that are searched for tensors."""
_SHOWN_KEYS = 8
_LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, by the format's specification."""
_NOT_READ = {
    ".npz": "NumPy arrays",
    ".npy": "a NumPy array",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".onnx": "an ONNX model",
    ".gguf": "GGUF",
    ".msgpack": "Flax weights",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
}


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file of weights."""

    path: Path
    tensors: StateDict
    """By their keys; those in nested dicts by the keys of all levels, joined with dots."""
    containers: tuple[str, ...]
    """The keys of the dicts that hold tensors, joined with dots; an empty string is the file itself."""

    def container(self, prefix: str) -> str:
        """The innermost dict in which every key begins with `prefix`, which may end with a dot."""
        inside = [name for name in self.containers if name and f"{prefix}.".startswith(f"{name}.")]
        return max(inside, key=len, default="")


def read(path: Path, *, trust_pickle: bool) -> Checkpoint:
    """The tensors in a file of `safetensors` or `torch.save`, or in the shards that an index names.

    Pickles are read with `weights_only=True` unless `trust_pickle`. Raises SourceError if the file cannot be
    read, or contains no tensors.
    """
    if path.name.endswith(".index.json"):
        return _sharded(path, trust_pickle)
    if path.suffix == ".safetensors" or _is_safetensors(path):
        return _checkpoint(path, _safetensors(path))
    if kind := _NOT_READ.get(path.suffix.lower()):
        raise SourceError(
            f"{path} contains {kind}, not a PyTorch state dict",
            hint="put it into the model in Python, then torch.save(model.state_dict(), 'weights.pth')",
        )
    return _checkpoint(path, read_pickle(path, trust_pickle=trust_pickle))


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins like one: 8 bytes with the length of a JSON object, then that object."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False  # the reader that is tried next says why
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER


def _safetensors(path: Path) -> StateDict:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as cause:
        raise SourceError(f"{path} is not a safetensors file: {cause}") from cause


def _sharded(path: Path, trust_pickle: bool) -> Checkpoint:
    """The tensors of the files beside an index of transformers, such as `model.safetensors.index.json`."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise SourceError(f"{path} is not an index of weights: {first_line(cause)}") from cause
    found: StateDict = {}
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise SourceError(
                f"{path} names the shard {name!r}, which is not the name of a file in its folder"
            )
        if not (path.parent / name).is_file():
            raise SourceError(
                f"{path} names the shard {name}, which is missing", hint="put all shards beside it"
            )
        found.update(read(path.parent / name, trust_pickle=trust_pickle).tensors)
    return Checkpoint(path, found, ("",))


def _checkpoint(path: Path, content: object) -> Checkpoint:
    tensors: StateDict = {}
    containers: dict[str, None] = {}
    for container, key, value in _tensors(content, ""):
        containers.setdefault(container)
        tensors[f"{container}.{key}" if container else key] = value
    if not tensors:
        raise SourceError(
            f"{path} does not contain a state dict, but {_described(content)}",
            hint="save the state dict: torch.save(model.state_dict(), 'weights.pth')",
        )
    return Checkpoint(path, tensors, tuple(containers))


def _tensors(content: object, container: str, depth: int = 0) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Every tensor in nested dicts and modules: the keys of its dict, its own key, and itself."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    for key, value in content.items():
        if isinstance(value, torch.Tensor):
            yield container, str(key), value
        else:
            yield from _tensors(value, f"{container}.{key}" if container else str(key), depth + 1)


def _described(content: object) -> str:
    kind = type(content).__name__
    if not isinstance(content, Mapping):
        return kind
    keys = [f"{key} ({type(value).__name__})" for key, value in content.items()]
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return f"{kind} with {', '.join(keys[:_SHOWN_KEYS]) + more if keys else 'no keys'}"


def read_pickle(path: Path, *, trust_pickle: bool) -> object:
    """The content of a file of `torch.save`. Raises SourceError if `weights_only` refuses it."""
    _check_saved(path)
    if _is_torchscript(path):
        return _torchscript_state(path)
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


def _is_torchscript(path: Path) -> bool:
    """Whether a zip archive holds compiled code, as TorchScript does and a pickle of torch.save does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False  # an older pickle, or a damaged file: torch.load says which


def _torchscript_state(path: Path) -> dict[str, Any]:
    try:
        with quiet():
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    except RuntimeError as cause:
        raise SourceError(f"{path} is no TorchScript file: {first_line(cause)}") from cause
