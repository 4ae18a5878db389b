"""Tensor: values without a declared meaning. Judged by R² about the mean, and by SQNR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import OutputKind, Paired, TaskMetrics
from edgepack.contract.outputs.regression import R2

if TYPE_CHECKING:
    from edgepack.arrays import Array

_FEW = 16
"""So many numbers of an output [1, n] each have a meaning: the worst counts, of more their mean."""


class _Tensor(OutputKind):
    def task_metrics(self, paired: Paired) -> TaskMetrics:
        from edgepack.metrics import variance

        found = variance.explained(paired.ours, paired.theirs)
        if not found.size:
            return TaskMetrics(reason="the output is empty")
        few = is_few(paired.theirs[0])
        return TaskMetrics(100 * float(found.min() if few else found.mean()))


def is_few(output: Array) -> bool:
    """Whether an output is a row of few numbers, each with a meaning of its own."""
    return output.ndim <= 2 and output.size <= _FEW


TENSOR = _Tensor("tensor", metric=R2)
VALUES = OutputKind("values")
"""A tensor that no sample of the real kind was run on, or that is carried as state: judged by SQNR alone."""
