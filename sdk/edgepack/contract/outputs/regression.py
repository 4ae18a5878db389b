"""Regression: numbers, in `units`. Judged by R² of each number, the worst one counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Array

R2 = Metric("R2", "R2")


def _r2(ours: Sequence[Array], reference: Sequence[Array]) -> float:
    """R² of the worst channel, in percent."""
    from edgepack.metrics import variance

    return 100 * float(variance.explained(ours, reference).min(initial=1.0))


class Regression(OutputKind):
    """A kind whose values each have a meaning of their own."""

    def unused_labels(self, paired: Paired) -> str:
        if paired.is_labelled_like_output("iufb"):
            return ""
        return f"it takes {paired.theirs[0].size} numbers per sample"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        agreement = _r2(paired.ours, paired.theirs)
        if paired.truth is None:
            return TaskMetrics(agreement)
        known = [label.reshape(row.shape) for label, row in zip(paired.known, paired.theirs, strict=True)]
        return TaskMetrics(agreement, _r2(paired.theirs, known), _r2(paired.ours, known))


REGRESSION = Regression("regression", metric=R2, task="R2")
