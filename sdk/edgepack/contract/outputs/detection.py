"""Detection: boxes [1, N, 4], then scores [1, N] or [1, N, classes], in two outputs. Judged by matched boxes.

The boxes of float model and file are compared after threshold and suppression, as an app decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Declared, Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Sample
    from edgepack.metrics.boxes import Boxes

_CLOSE = Metric("matched boxes at IoU 0.75", "at 0.75", limit=75)
_THRESHOLD = 0.3
"""The least score of a box where the contract has no threshold and scores are in 0..1; of others it is 0."""


class _Detection(OutputKind):
    def check(self, outputs: Sequence[Declared]) -> None:
        boxes = [n for n, output in enumerate(outputs) if output.box_format]
        detections = [n for n, output in enumerate(outputs) if output.kind == self.name]
        if len(boxes) != 1 or detections != [boxes[0], boxes[0] + 1]:
            raise ValueError("kind 'detection' needs two outputs: boxes (with box_format), then scores")

    def unfit(self, outputs: Sample) -> str:
        boxes, scores = outputs
        count = boxes.size // 4
        if boxes.shape[-1:] == (4,) and count and scores.size % count == 0:
            return ""
        shapes = f"{list(boxes.shape)} and {list(scores.shape)}"
        return f"boxes are [1, N, 4] and scores [1, N, classes], not {shapes}"

    def unused_labels(self, paired: Paired) -> str:
        assert paired.truth is not None
        return "" if all(len(row) == 2 for row in paired.truth) else "it takes boxes and classes per sample"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import boxes

        declared, least = paired.declared, _least(paired.declared, paired.reference)
        ours, theirs = (
            [_found(declared, row, least) for row in rows] for rows in (paired.outputs, paired.reference)
        )
        agreement = boxes.matched_share(ours, theirs, 0.5)
        none = f"the float model finds no box with a score of at least {least:g}" if agreement is None else ""
        more = {_CLOSE.name: boxes.matched_share(ours, theirs, 0.75)}
        found = TaskMetrics(agreement, more=more, reason=none)
        if paired.truth is None:
            return found
        known = [boxes.labelled(*row) for row in paired.truth]
        right = [boxes.mean_average_precision(each, known, 0.5) for each in (theirs, ours)]
        return replace(found, accuracy_float=right[0], accuracy=right[1])


def _least(declared: Sequence[Declared], reference: Sequence[Sample]) -> float:
    """The least score of a box: the contract's threshold, of the scores or of the boxes."""
    from edgepack import metrics

    given = [each.threshold for each in (declared[1], declared[0]) if each.threshold is not None]
    if given:
        return given[0]
    scores = [metrics.scores(row[1], declared[1].activation) for row in reference]
    within = all(each.min(initial=0) >= 0 and each.max(initial=0) <= 1 for each in scores)
    return _THRESHOLD if within else 0.0


def _found(declared: Sequence[Declared], row: Sample, least: float) -> Boxes:
    from edgepack import metrics
    from edgepack.metrics import boxes

    form, scores = declared[0].box_format, metrics.scores(row[1], declared[1].activation)
    assert form is not None
    return boxes.decoded(row[0], scores, form, least, declared[0].iou_threshold)


DETECTION = _Detection(
    "detection",
    has_labels=True,
    has_threshold=True,
    has_boxes=True,
    metric=Metric("matched boxes", "boxes", limit=90),
    more=(_CLOSE,),
    task="mAP",
)
