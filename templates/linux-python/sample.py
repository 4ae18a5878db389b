"""A sample: what the model is fed once, an array an input, batch dimension included."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import preprocess
from contract import CONTRACT

if TYPE_CHECKING:
    from contract import ImageInput, TensorInput

_INPUTS = CONTRACT["inputs"]
_CARRIED = {each["input"] for each in CONTRACT["state"]}
_READ = [spec for spec in _INPUTS if spec["name"] not in _CARRIED]
"""Inputs that a file holds."""
_FIRST = _INPUTS[0]
PICTURE = _FIRST if _FIRST["kind"] == "image" and len(_INPUTS) == 1 else None
"""The picture, where the model takes one and nothing else."""


class Sample(NamedTuple):
    """What a file holds."""

    inputs: list[NDArray[Any]]
    """As the model takes them."""
    mean: float
    """Which monitoring counts: of the picture as the model sees it in 8 bits, or of the first input."""
    size: tuple[int, int] | None
    """Width and height of the picture in the file; None of tensors."""


class SampleError(Exception):
    """A file that cannot be read as what the model takes."""


def read(path: Path) -> Sample:
    """The sample in the file `path`: a picture where the model takes one and nothing else, otherwise
    a `.npy` (one input) or an `.npz` with an array an input, by name, made ready.

    Raises SampleError with a sentence.
    """
    try:
        if PICTURE is not None:
            return of_picture(preprocess.read_picture(path, PICTURE["channels"]), PICTURE)
        given = [_fitting(array, spec) for array, spec in zip(_arrays(path), _READ)]
        return Sample(_with_room(given), float(given[0].mean()), None)
    except FileNotFoundError:
        raise SampleError(f"{path}: there is no such file") from None
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        SyntaxError,
        zipfile.BadZipFile,
        Image.DecompressionBombError,
    ) as cause:
        raise SampleError(f"{path}: {cause}") from cause


def of_picture(picture: NDArray[np.uint8], contract: ImageInput) -> Sample:
    """What the model is fed for a picture: uint8 [H, W, 3] in RGB, or [H, W]."""
    frame = preprocess.framed(picture, contract)
    return Sample([preprocess.prepared(frame, contract)], float(frame.mean()), picture.shape[1::-1])


def _with_room(given: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """All inputs, those that are carried from call to call still zero."""
    found, rest = [], iter(given)
    for spec in _INPUTS:
        if spec["name"] in _CARRIED:
            sizes = [size if isinstance(size, int) else 1 for size in _shape(spec)]
            found.append(np.zeros(sizes, spec["dtype"]))
        else:
            found.append(next(rest))
    return found


def _arrays(path: Path) -> list[NDArray[Any]]:
    """The arrays in a file, in the order of the contract's inputs, but for those that are carried."""
    loaded = np.load(path, allow_pickle=False)
    names = [spec["name"] for spec in _READ]
    if isinstance(loaded, np.ndarray):
        if len(names) > 1:
            raise ValueError(f"one array, but the model takes {len(names)}: {', '.join(names)}")
        return [loaded]
    with loaded:
        if len(names) == 1 and len(loaded.files) == 1:
            return [loaded[loaded.files[0]]]
        missing = [name for name in names if name not in loaded.files]
        if missing:
            raise ValueError(f"no array called {', '.join(missing)} in it")
        return [loaded[name] for name in names]


def _fitting(array: NDArray[Any], spec: ImageInput | TensorInput) -> NDArray[Any]:
    """`array` in the dtype and shape of `spec`; the batch dimension is added where it is left out.

    Raises TypeError or ValueError where it does not fit.
    """
    wanted = _shape(spec)
    if array.ndim == len(wanted) - 1:
        array = array[None]
    fits = array.ndim == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(array.shape, wanted)
    )
    if not fits:
        shown = ", ".join(str(want) for want in wanted)
        raise ValueError(f"{spec['name']} has shape {list(array.shape)}, the model takes [{shown}]")
    return np.ascontiguousarray(array.astype(spec["dtype"], casting="same_kind"))


def _shape(spec: ImageInput | TensorInput) -> list[int | str]:
    """The shape that `spec` asks for, batch first; a name stands for a free dimension."""
    if spec["kind"] != "image":
        return spec["shape"]
    height, width = spec["size"]
    depth = 1 if spec["channels"] == "L" else 3
    return [1, depth, height, width] if spec["layout"] == "NCHW" else [1, height, width, depth]
