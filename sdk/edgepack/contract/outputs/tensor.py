"""Tensor: values without a declared meaning. Judged by R² about the mean, and by SQNR."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind, Paired, TaskMetrics
from edgepack.contract.outputs.regression import R2

_FEW = 16
"""So many numbers of an output [1, n] each have a meaning: the worst counts, of more their mean."""


class _Tensor(OutputKind):
    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import variance

        found = variance.explained(paired.ours, paired.theirs)
        if not found.size:
            return TaskMetrics(reason="the output is empty")
        few = paired.theirs[0].ndim <= 2 and found.size <= _FEW
        return TaskMetrics(100 * float(found.min() if few else found.mean()))


TENSOR = _Tensor("tensor", metric=R2)
VALUES = OutputKind("values")
"""A tensor that no sample of the real kind was run on, or that is carried as state: judged by SQNR alone."""
