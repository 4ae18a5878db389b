"""Integers: numbers of classes, of tokens, or masks. Judged by equal values; maps by mIoU, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Array

_MAP_DIMS = 3
"""An output of so many dimensions, [1, H, W], is a map."""
_CLASSES = 256
"""More different values than this are no classes."""
_IOU = Metric("mIoU", "mIoU", limit=80)


class _Integers(OutputKind):
    """An integer output whose kind is not declared."""

    def unused_labels(self, paired: Paired) -> str:
        if paired.is_labelled_like_output("iub"):
            return ""
        return f"it takes {paired.theirs[0].size} integers per sample"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import maps

        ours, theirs = paired.ours, paired.theirs
        more = {_IOU.name: maps.mean_iou(ours, theirs) if _is_map(theirs) else None}
        found = TaskMetrics(maps.equal(ours, theirs), more=more)
        if paired.truth is None:
            return found
        known = paired.known
        return replace(found, accuracy_float=maps.equal(theirs, known), accuracy=maps.equal(ours, known))


def _is_map(values: Sequence[Array]) -> bool:
    import numpy as np

    several = values[0].ndim >= _MAP_DIMS and all(each.min(initial=0) >= 0 for each in values)
    return several and len(np.unique(np.concatenate([each.ravel() for each in values]))) <= _CLASSES


INTEGERS = _Integers("integers", has_values=False, metric=Metric("equal values", "equal"), more=(_IOU,))
