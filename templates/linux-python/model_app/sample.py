"""A sample: what the model is fed once, an array an input, batch dimension included."""

from __future__ import annotations

import math
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import audio, preprocess, text
from .contract import CONTRACT

if TYPE_CHECKING:
    from .contract import AudioInput, ImageInput, TensorInput, TextInput

_INPUTS = CONTRACT["inputs"]
_CARRIED = {each["input"] for each in CONTRACT["state"]}
_READ = [spec for spec in _INPUTS if spec["name"] not in _CARRIED]
"""Inputs that a file holds."""
_FIRST = _INPUTS[0]
PICTURE = _FIRST if _FIRST["kind"] == "image" and len(_INPUTS) == 1 else None
"""The picture, where the model takes one and nothing else."""
SOUND = _READ[0] if len(_READ) == 1 and _READ[0]["kind"] == "audio" else None
"""The sound, where the model takes one and nothing else but what it carries."""


class Sample(NamedTuple):
    """What the model is fed once."""

    inputs: list[NDArray[Any]]
    """As the model takes them."""
    mean: float
    """Which monitoring counts: of the picture as the model sees it in 8 bits, or of the first input."""
    milliseconds: float = math.nan
    """That pre-processing took; not a number where nothing was done."""
    size: tuple[int, int] | None = None
    """Width and height of the picture that was given; None of anything else."""
    place: str = ""
    """Of a piece of a recording: where it begins, in words."""


class SampleError(Exception):
    """A file that cannot be read as what the model takes."""


def read(path: Path) -> list[Sample]:
    """What the file `path` holds: a picture where the model takes one and nothing else; sound, call
    by call, where it takes that; texts, one a line, where it takes them; otherwise a `.npy` (one input) or
    an `.npz` with an array an input, by name, made ready.

    Raises SampleError with a sentence.
    """
    try:
        if PICTURE is not None:
            return [of_picture(preprocess.read_picture(path, PICTURE["channels"]), PICTURE)]
        if text.READS and path.suffix.lower() == ".txt":
            return _lines(path)
        if SOUND is not None and path.suffix.lower() == ".wav":
            return _pieces(audio.read_wav(path, SOUND["sample_rate"]), SOUND)
        given = [_fitting(array, spec) for array, spec in zip(_arrays(path), _READ)]
        return [Sample(_with_room(given), float(given[0].mean()))]
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
    start = time.perf_counter()
    frame = preprocess.framed(picture, contract)
    inputs = [preprocess.prepared(frame, contract)]
    took = (time.perf_counter() - start) * 1e3
    return Sample(inputs, float(frame.mean()), took, picture.shape[1::-1])


def made_ready(inputs: list[NDArray[Any]]) -> Sample:
    """A sample of inputs as they are, whose mean is not counted: of a picture it would be of 8-bit values."""
    return Sample(inputs, math.nan)


def _pieces(sound: NDArray[np.float32], contract: AudioInput) -> list[Sample]:
    """A recording as the model takes it, call by call: each adds `hop` samples to the last of those before,
    zeros where there are none yet, or none any more; whole where any length will do.

    Raises ValueError where there is none, or the model takes more than one channel.
    """
    *others, length = contract["shape"]
    if any(size != 1 for size in others if isinstance(size, int)):
        raise ValueError(f"a recording has one channel, and the model takes {contract['shape']}")
    if not len(sound):
        raise ValueError("there is no sound in it")
    size = length if isinstance(length, int) else len(sound)
    hop = contract["hop"] or size
    calls = -(-len(sound) // hop)
    whole = np.zeros(size + (calls - 1) * hop, np.float32)
    whole[size - hop : size - hop + len(sound)] = sound
    found = []
    for first in range(0, calls * hop, hop):
        given = whole[first : first + size].reshape([1] * len(others) + [size])
        place = f" at {first / contract['sample_rate']:.3f} s" if calls > 1 else ""
        found.append(Sample(_with_room([given]), float(given.mean(dtype=np.float64)), place=place))
    return found


def _lines(path: Path) -> list[Sample]:
    """A sample for each line of a file of texts that is not empty."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            found.append(of_text(line)._replace(place=f", line {number}"))
    if not found:
        raise ValueError("there is no text in it")
    return found


_READERS: list[text.TextReader] = []


def of_text(given: str) -> Sample:
    """A text made ready. Raises SampleError with a sentence where the model cannot take it."""
    start = time.perf_counter()
    try:
        if not _READERS:
            _READERS.append(text.TextReader())
        inputs = _READERS[0].inputs(given)
    except ValueError as problem:
        raise SampleError(str(problem)) from problem
    took = (time.perf_counter() - start) * 1e3
    return Sample(inputs, float(inputs[0].mean()), took)


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


def _fitting(array: NDArray[Any], spec: ImageInput | AudioInput | TextInput | TensorInput) -> NDArray[Any]:
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


def _shape(spec: ImageInput | AudioInput | TextInput | TensorInput) -> list[int | str]:
    """The shape that `spec` asks for, batch first; a name stands for a free dimension."""
    if spec["kind"] != "image":
        return spec["shape"]
    height, width = spec["size"]
    depth = 1 if spec["channels"] == "L" else 3
    return [1, depth, height, width] if spec["layout"] == "NCHW" else [1, height, width, depth]
