"""Classification: one score per class, [1, classes]. Judged by top-1 agreement and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import OutputKind, TaskMetrics

if TYPE_CHECKING:
    from edgepack.arrays import Sample


class ClassOutput(OutputKind):
    """A kind whose first output predicts one class per sample."""

    def task_metrics(
        self, outputs: Sequence[Sample], reference: Sequence[Sample], labels: Sequence[int] | None
    ) -> TaskMetrics:
        import numpy as np

        from edgepack import metrics

        ours, theirs = metrics.top1(outputs), metrics.top1(reference)
        agreement = metrics.agreement(ours, theirs)
        if labels is None:
            return TaskMetrics(agreement)
        known = np.asarray(labels)
        return TaskMetrics(agreement, metrics.agreement(theirs, known), metrics.agreement(ours, known))


CLASSIFICATION = ClassOutput("classification", has_labels=True, has_threshold=True, has_class=True)
