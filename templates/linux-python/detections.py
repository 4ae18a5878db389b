"""Detections: a detector's boxes and scores become what it found, in the picture that it was given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import scores
from contract import CONTRACT
from preprocess import framing
from sample import PICTURE

_OUTPUTS = CONTRACT["outputs"]
BOXES = next((n for n, each in enumerate(_OUTPUTS) if each["box_format"]), None)
"""The output that holds boxes; its scores are the next. None where the model detects nothing."""


class Detection(NamedTuple):
    """Something found: left, top, right and bottom in pixels, the class's number, and its score."""

    box: tuple[float, float, float, float]
    number: int
    score: float


def found(outputs: list[NDArray[Any]], size: tuple[int, int]) -> list[Detection]:
    """What a detector found in a picture of a `size` of width and height, the best first.

    Each box stands for its best class; what is below the threshold is left out, then what overlaps a
    better box of its class by more than the contract says.
    """
    assert BOXES is not None
    boxes = _corners(outputs[BOXES].reshape(-1, 4).astype(np.float64), size)
    told = _OUTPUTS[BOXES + 1]
    values = scores.activate(outputs[BOXES + 1].astype(np.float64), told["activation"])
    values = values.reshape(len(boxes), -1)
    numbers, best = values.argmax(axis=1), values.max(axis=1, initial=-np.inf)
    thresholds = (told["threshold"], _OUTPUTS[BOXES]["threshold"])
    least = next((each for each in thresholds if each is not None), -np.inf)
    kept: list[int] = []
    for place in np.argsort(-best, kind="stable").tolist():
        rivals = [each for each in kept if numbers[each] == numbers[place]]
        if best[place] >= least and not _hidden(boxes[place], boxes[rivals]):
            kept.append(place)
    return [Detection(tuple(boxes[each].tolist()), int(numbers[each]), float(best[each])) for each in kept]


def _corners(boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Left, top, right and bottom, in pixels of the picture that was given."""
    info = _OUTPUTS[BOXES or 0]
    first, second = boxes[:, :2], boxes[:, 2:]
    if info["box_format"] == "xywh":
        second = first + second
    elif info["box_format"] == "cxcywh":
        first, second = first - second / 2, first + second / 2
    corners = np.concatenate([first, second], axis=1)
    assert PICTURE is not None
    if info["box_units"] == "relative":
        corners = corners * np.array(PICTURE["size"][::-1] * 2)
    place = framing(*size, PICTURE)
    offset, scale = (place.left, place.top) * 2, (place.wide / size[0], place.high / size[1]) * 2
    return np.asarray((corners - offset) / scale)


def _hidden(box: NDArray[Any], others: NDArray[Any]) -> bool:
    """Whether a box overlaps one of `others` by more than the contract allows: intersection over union."""
    inner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(inner, 0), axis=1)
    area = np.prod(np.maximum(box[2:] - box[:2], 0))
    either = area + np.prod(np.maximum(others[:, 2:] - others[:, :2], 0), axis=1) - both
    return bool((both > _OUTPUTS[BOXES or 0]["iou_threshold"] * either).any())
