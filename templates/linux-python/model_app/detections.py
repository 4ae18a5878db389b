"""Detections: a detector's boxes and scores become what it found, in the picture that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import scores
from .contract import CONTRACT
from .preprocess import framing
from .sample import PICTURE

if TYPE_CHECKING:
    from .contract import Output

_OUTPUTS = CONTRACT["outputs"]
BOXES = next((n for n, each in enumerate(_OUTPUTS) if each["box_format"]), None)
"""The output that holds boxes; its scores are the next. None where the model detects nothing."""


class Detection(NamedTuple):
    """Something found: left, top, right and bottom in pixels, the class's number, and its score."""

    box: tuple[float, ...]
    number: int
    score: float


def found(outputs: list[NDArray[Any]], size: tuple[int, int]) -> list[Detection]:
    """What a detector found in a picture of a `size` of width and height, the best first.

    Each box stands for its best class; what is below the threshold is left out, then what overlaps a
    better box of its class by more than the contract says.
    """
    assert BOXES is not None
    info, told = _OUTPUTS[BOXES], _OUTPUTS[BOXES + 1]
    boxes = _corners(outputs[BOXES].reshape(-1, 4).astype(np.float64), info)
    if len(boxes) == 0:
        return []
    values = scores.activate(outputs[BOXES + 1].astype(np.float64), told["activation"])
    values = values.reshape(len(boxes), -1)
    numbers, best = values.argmax(axis=1), values.max(axis=1)
    thresholds = (told["threshold"], info["threshold"])
    least = next((each for each in thresholds if each is not None), -np.inf)
    kept: list[int] = []
    for place in np.argsort(-best, kind="stable").tolist():
        rivals = boxes[[each for each in kept if numbers[each] == numbers[place]]]
        if best[place] >= least and not (_overlaps(boxes[place], rivals) > info["iou_threshold"]).any():
            kept.append(place)
    return [Detection(_in_source(boxes[each], size), int(numbers[each]), float(best[each])) for each in kept]


def _corners(boxes: NDArray[Any], info: Output) -> NDArray[Any]:
    """Left, top, right and bottom, in pixels of the model's picture."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if info["box_format"] == "xywh":
        second = first + second
    elif info["box_format"] == "cxcywh":
        first, second = first - second / 2, first + second / 2
    corners = np.concatenate([first, second], axis=1)
    if info["box_units"] == "pixels":
        return np.asarray(corners)
    assert PICTURE is not None
    return np.asarray(corners * np.array(PICTURE["size"][::-1] * 2))


def _in_source(box: NDArray[Any], size: tuple[int, int]) -> tuple[float, ...]:
    """A box in pixels of the picture that was given."""
    assert PICTURE is not None
    place = framing(*size, PICTURE)
    offset, scale = (place.left, place.top) * 2, (place.wide / size[0], place.high / size[1]) * 2
    return tuple(((box - offset) / scale).tolist())


def _overlaps(box: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union with each of `others`."""
    inner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(inner, 0), axis=1)
    area = np.prod(np.maximum(box[2:] - box[:2], 0))
    either = area + np.prod(np.maximum(others[:, 2:] - others[:, :2], 0), axis=1) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))
