"""Segmentation: scores [1, classes, H, W]. Judged by the share of equal pixels and by mIoU.

One channel, [1, 1, H, W], is a mask: a score per pixel that a threshold decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepack.contract.outputs import decisions
from edgepack.contract.outputs.kind import Declared, Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample

IOU = Metric("mIoU", "mIoU", limit=80)
_IGNORED = (255,)
"""Labels of pixels that have no class, as in Pascal VOC and Cityscapes; so have negative ones."""


class _Segmentation(OutputKind):
    def unfit(self, outputs: Sample) -> str:
        if outputs[0].ndim == 4 or outputs[0].dtype.kind in "iub":
            return ""
        return "a segmentation is scores [1, classes, H, W]"

    def unused_labels(self, paired: Paired) -> str:
        assert paired.truth is not None
        sizes = [row.shape[-2:] for row in paired.theirs]
        fits = [len(row) == 1 and row[0].dtype.kind in "iub" for row in paired.truth]
        if all(fits) and [label.shape[-2:] for label in paired.known] == sizes:
            return ""
        return "it takes a map of class numbers per sample, " + "x".join(str(size) for size in sizes[0])

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import maps

        least = decisions.threshold(paired.declared[0], paired.theirs)
        ours, theirs = (_classes(paired.declared[0], rows, least) for rows in (paired.ours, paired.theirs))
        found = TaskMetrics(maps.equal(ours, theirs), more={IOU.name: maps.mean_iou(ours, theirs)})
        if paired.truth is None:
            return found
        right = [maps.mean_iou(each, paired.known, _IGNORED) for each in (theirs, ours)]
        return replace(found, accuracy_float=right[0], accuracy=right[1])


def _classes(declared: Declared, rows: Sequence[Array], least: float) -> list[Array]:
    """The class of each pixel, [1, H, W]."""
    import numpy as np

    from edgepack import metrics

    if rows[0].dtype.kind in "iub":
        return list(rows)
    if rows[0].shape[1] > 1:
        return [np.argmax(row, axis=1) for row in rows]
    return [(metrics.scores(row[:, 0], declared.activation) >= least).astype(np.int64) for row in rows]


SEGMENTATION = _Segmentation(
    "segmentation",
    has_labels=True,
    metric=Metric("equal pixels", "pixels"),
    more=(IOU,),
    task="mIoU",
)
