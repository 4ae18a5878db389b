"""Classification: one score per class, [1, classes]. Judged by top-1 agreement and accuracy."""

from __future__ import annotations

from edgepack.contract.outputs.kind import Metric, OutputKind, Paired, TaskMetrics

AGREEMENT = Metric("agreement", "agree")


class ClassOutput(OutputKind):
    """A kind whose output predicts one class per sample."""

    def unused_labels(self, paired: Paired) -> str:
        assert paired.truth is not None
        if all(len(row) == 1 and row[0].size == 1 and row[0].dtype.kind in "iu" for row in paired.truth):
            return ""
        return "it takes one class number per sample"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        import numpy as np

        from edgepack import metrics

        ours, theirs = metrics.top1(paired.outputs), metrics.top1(paired.reference)
        agreement = metrics.agreement(ours, theirs)
        if paired.truth is None:
            return TaskMetrics(agreement)
        known = np.asarray([int(label.item()) for label in paired.known])
        return TaskMetrics(agreement, metrics.agreement(theirs, known), metrics.agreement(ours, known))


CLASSIFICATION = ClassOutput(
    "classification",
    has_labels=True,
    has_threshold=True,
    has_class=True,
    metric=AGREEMENT,
    counts_samples=True,
)
