"""Boxes of a detector: decoding as the contract says, matching, and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepack.arrays import Array

_MOST = 100
"""Boxes of one sample that count, the best ones, as in COCO."""
_CANDIDATES = 1000
"""Boxes that take part in suppression, the best ones."""


@dataclass(frozen=True)
class Boxes:
    """What a detector finds in one sample, the best first, or what is there."""

    corners: NDArray[np.float64]
    """[N, 4]: left, top, right, bottom."""
    classes: NDArray[np.int64]
    """[N]."""
    scores: NDArray[np.float64]
    """[N]."""

    def __len__(self) -> int:
        return len(self.classes)


def decoded(boxes: Array, scores: NDArray[np.float64], form: str, least: float, most_overlap: float) -> Boxes:
    """Boxes [1, N, 4] and scores [1, N] or [1, N, classes] after threshold and suppression.

    Each box has its best class; of boxes of one class that overlap by more than `most_overlap`, the best
    one stays.
    """
    corners = _corners(boxes.reshape(-1, 4).astype(np.float64), form)
    values = scores.reshape(len(corners), -1)
    numbers, best = values.argmax(axis=1), values.max(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] >= least][:_CANDIDATES]
    kept: list[int] = []
    for place in order.tolist():
        rivals = corners[[each for each in kept if numbers[each] == numbers[place]]]
        if not (overlaps(corners[place], rivals) > most_overlap).any():
            kept.append(place)
        if len(kept) == _MOST:
            break
    return Boxes(corners[kept], numbers[kept].astype(np.int64), best[kept])


def _corners(boxes: NDArray[np.float64], form: str) -> NDArray[np.float64]:
    first, second = boxes[:, :2], boxes[:, 2:]
    if form == "xywh":
        second = first + second
    elif form == "cxcywh":
        first, second = first - second / 2, first + second / 2
    return np.concatenate([first, second], axis=1)


def overlaps(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box [4] with each of `others` [N, 4]; 0 for boxes without area."""
    inner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(inner, 0), axis=1)
    area = np.prod(np.maximum(box[2:] - box[:2], 0))
    either = area + np.prod(np.maximum(others[:, 2:] - others[:, :2], 0), axis=1) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))


def _matches(found: Boxes, there: Boxes, least: float) -> NDArray[np.bool_]:
    """Which of `found`, the best first, match one of `there` each: same class, IoU at least `least`."""
    free = np.ones(len(there), bool)
    matched = np.zeros(len(found), bool)
    for n in range(len(found)):
        overlap = np.where(
            free & (there.classes == found.classes[n]), overlaps(found.corners[n], there.corners), -1.0
        )
        if len(overlap) and overlap.max() >= least:
            matched[n] = True
            free[int(overlap.argmax())] = False
    return matched


def matched_share(ours: Sequence[Boxes], reference: Sequence[Boxes], least: float) -> float | None:
    """Percentage of boxes that have a partner in the other set (F1); None where the reference has none."""
    total = sum(len(a) + len(b) for a, b in zip(ours, reference, strict=True))
    if not sum(len(each) for each in reference):
        return None
    both = sum(int(_matches(a, b, least).sum()) for a, b in zip(ours, reference))
    return 200 * both / total


def mean_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], least: float) -> float:
    """mAP at an IoU of `least`, in percent: the mean over the classes in `truth` of the area below the
    interpolated precision (Everingham et al. 2010; all points)."""
    classes = np.unique(np.concatenate([each.classes for each in truth])) if truth else np.array([], np.int64)
    areas = [_average_precision(found, truth, number, least) for number in classes.tolist()]
    return 100 * float(np.mean(areas)) if areas else 100.0


def _average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], number: int, least: float) -> float:
    scores: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    for ours, there in zip(found, truth, strict=True):
        mine = _of_class(ours, number)
        scores.append(mine.scores)
        right.append(_matches(mine, _of_class(there, number), least))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(right)[order])
    recall = hits / sum(int((each.classes == number).sum()) for each in truth)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))


def _of_class(boxes: Boxes, number: int) -> Boxes:
    kept = boxes.classes == number
    return Boxes(boxes.corners[kept], boxes.classes[kept], boxes.scores[kept])


def labelled(corners: Array, classes: Array) -> Boxes:
    """The labels of a sample: boxes [N, 4], as left, top, right, bottom, and class numbers [N].

    Rows with a negative class fill the array up and do not count.
    """
    real = classes.ravel() >= 0
    numbers = classes.ravel()[real].astype(np.int64)
    return Boxes(corners.reshape(-1, 4)[real].astype(np.float64), numbers, np.ones(len(numbers)))
