"""Sequence: scores of classes step by step. Judged by equal steps, and by edit distance or rarer steps.

Recognizers with a `blank` (CTC) emit it at most steps, and taggers one tag: a file that always emits that
has many equal steps. So the symbols that are left are compared, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Declared, Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample

_EDITS = Metric("edit distance", "edits", limit=10, bound="most")
_RARER = Metric("equal steps but the most frequent class", "rarer", limit=85)


class _Sequence(OutputKind):
    def unfit(self, outputs: Sample) -> str:
        if outputs[0].ndim == 3 or outputs[0].dtype.kind in "iu":
            return ""
        return "a sequence is scores [1, time, classes], [time, 1, classes], or [1, classes, time]"

    def unused_labels(self, paired: Paired) -> str:
        assert paired.truth is not None
        if not all(len(row) == 1 and row[0].dtype.kind in "iu" and row[0].ndim == 1 for row in paired.truth):
            return "it takes class numbers [N] per sample, filled up with negative ones"
        steps = [len(_steps(paired.declared[0], row)) for row in paired.theirs]
        if paired.declared[0].blank is None and [label.size for label in paired.known] != steps:
            return f"without blank it takes {steps[0]} class numbers per sample"
        return ""

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import maps

        declared, blank = paired.declared[0], paired.declared[0].blank
        ours, theirs = ([_steps(declared, row) for row in rows] for rows in (paired.ours, paired.theirs))
        more = {_RARER.name: _rarer(ours, theirs)}
        if blank is not None:
            more = {_EDITS.name: _edits(ours, theirs, blank)}
        found = TaskMetrics(maps.equal(ours, theirs), more=more)
        if paired.truth is None:
            return found
        right = [_accuracy(steps, paired.known, blank) for steps in (theirs, ours)]
        return replace(found, accuracy_float=right[0], accuracy=right[1])


def _steps(declared: Declared, values: Array) -> Array:
    """The class of each step, [time]."""
    import numpy as np

    if values.dtype.kind in "iu":
        return values.ravel()
    if declared.sequence_layout == "CT":
        return np.asarray(values[0].argmax(axis=0))
    return np.asarray(values.argmax(axis=-1).ravel())


def _rarer(ours: Sequence[Array], theirs: Sequence[Array]) -> float | None:
    """Percentage of equal steps among those whose class is not the most frequent one; None without such."""
    import numpy as np

    a, b = np.concatenate(ours), np.concatenate(theirs)
    classes, counts = np.unique(b, return_counts=True)
    rarer = b != classes[counts.argmax()]
    return 100 * float(np.mean((a == b)[rarer])) if rarer.any() else None


def _edits(ours: Sequence[Array], theirs: Sequence[Array], blank: int) -> float:
    from edgepack.metrics import sequences

    return sequences.error_rate(
        *([sequences.collapsed(row, blank) for row in each] for each in (ours, theirs))
    )


def _accuracy(steps: Sequence[Array], known: Sequence[Array], blank: int | None) -> float:
    """100 less the error rate with a blank; else the percentage of right steps, without negative labels."""
    import numpy as np

    from edgepack.metrics import sequences

    if blank is None:
        a, b = np.concatenate(steps), np.concatenate(known)
        return 100 * float(np.mean((a == b)[b >= 0]))
    texts = [sequences.collapsed(row, blank) for row in steps]
    return max(0.0, 100 - sequences.error_rate(texts, [row[row >= 0].tolist() for row in known]))


SEQUENCE = _Sequence(
    "sequence", has_labels=True, has_steps=True, metric=Metric("equal steps", "steps"), more=(_EDITS, _RARER)
)
