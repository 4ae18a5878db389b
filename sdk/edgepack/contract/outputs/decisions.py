"""Binary and multi-label classification: scores that are each decided by a threshold.

`binary`: one score, [1, 1] or [1]. `multilabel`: one score per label, [1, labels]. Judged by equal decisions;
where one decision is rare, also by its F1 score: a file that never takes it has nearly all decisions equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Declared, Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepack.arrays import Array, Sample

_F1 = Metric("F1 of the rarer decision", "F1", limit=80)
_WORST = Metric("worst label", "worst", limit=85)
_ENOUGH = 5
"""The rarer decision has an F1 score where the float model takes it so often."""


def threshold(declared: Declared, reference: Sequence[Array]) -> float:
    """The least score that counts as yes, after the activation.

    That of the contract; else 0.5 for probabilities, which are in 0..1, and 0 for logits.
    """
    if declared.threshold is not None:
        return declared.threshold
    if declared.activation != "none":
        return 0.5
    within = all(row.min(initial=0) >= 0 and row.max(initial=0) <= 1 for row in reference)
    return 0.5 if within else 0.0


class Decisions(OutputKind):
    """A kind whose scores are each decided by a threshold."""

    def unfit(self, outputs: Sample) -> str:
        if self.name == "binary" and outputs[0].size != 1:
            return f"a binary output is one score, [1, 1] or [1], not {list(outputs[0].shape)}"
        return "" if outputs[0].ndim <= 2 else f"scores are [1, labels], not {list(outputs[0].shape)}"

    def unused_labels(self, paired: Paired) -> str:
        if paired.is_labelled_like_output("iufb") and all(
            set(label.ravel().tolist()) <= {0, 1} for label in paired.known
        ):
            return ""
        return f"it takes {paired.theirs[0].size} of 0 and 1 per sample"

    def task_metrics(self, paired: Paired) -> TaskMetrics:
        import numpy as np

        least = threshold(paired.declared[0], paired.theirs)
        ours, theirs = (_decided(paired.declared[0], rows, least) for rows in (paired.ours, paired.theirs))
        found = TaskMetrics(100 * float((ours == theirs).mean()), more=_more(ours, theirs))
        if paired.truth is None:
            return found
        known = np.stack([label.ravel() > 0 for label in paired.known])
        right = [100 * float((values == known).mean()) for values in (theirs, ours)]
        return replace(found, accuracy_float=right[0], accuracy=right[1])


def _decided(declared: Declared, rows: Sequence[Array], least: float) -> NDArray[np.bool_]:
    """Which scores count as yes: [samples, labels]."""
    import numpy as np

    from edgepack import metrics

    return np.stack([(metrics.scores(row, declared.activation) >= least).ravel() for row in rows])


def _more(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> dict[str, float | None]:
    from edgepack.metrics import maps

    rare = min(int(theirs.sum()), int((~theirs).sum()))
    by_label = (ours == theirs).mean(axis=0)
    return {
        _F1.name: maps.rarer_f1(ours, theirs) if rare >= _ENOUGH else None,
        _WORST.name: 100 * float(by_label.min()) if len(by_label) > 1 else None,
    }


_EQUAL = Metric("equal decisions", "equal")
BINARY = Decisions("binary", has_labels=True, has_threshold=True, metric=_EQUAL, more=(_F1,))
MULTILABEL = Decisions("multilabel", has_labels=True, has_threshold=True, metric=_EQUAL, more=(_F1, _WORST))
