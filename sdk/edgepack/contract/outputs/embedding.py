"""Embedding: a vector that represents the input. Judged by cosine and by nearest neighbours among samples.

The cosine alone does not show that vectors still tell samples apart: those of many networks share a large
common part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepack.contract.outputs.kind import Metric, OutputKind, Paired, TaskMetrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepack.arrays import Array

_FEWEST = 4
"""Fewer samples have no neighbours to speak of."""
_TIE = 0.1
"""A neighbour that is farther than the nearest one by this share of the distance to the average sample is as
good."""
_LEAST = Metric("least cosine", "cosine", limit=0.95, unit="")
_MEAN = Metric("mean cosine", "mean", unit="")


class _Embedding(OutputKind):
    def task_metrics(self, paired: Paired) -> TaskMetrics:
        import numpy as np

        from edgepack import metrics

        ours, theirs = paired.ours, paired.theirs
        cosines = [metrics.cosine(a, b) for a, b in zip(ours, theirs, strict=True)]
        more = {_LEAST.name: float(np.min(cosines)), _MEAN.name: float(np.mean(cosines))}
        if len({row.size for row in theirs}) > 1:
            return TaskMetrics(more=more, reason="embeddings of several lengths are not compared")
        if len(theirs) < _FEWEST:
            few = f"{len(theirs)} samples are too few to compare neighbours"
            return TaskMetrics(more=more, reason=few)
        return TaskMetrics(_same_neighbours(_similarities(ours), _similarities(theirs)), more=more)


def _similarities(rows: Sequence[Array]) -> NDArray[np.float64]:
    """Cosine of each pair of samples, [samples, samples]; that with itself does not count."""
    import numpy as np

    vectors = np.stack([row.ravel() for row in rows]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    found: NDArray[np.float64] = vectors @ vectors.T
    np.fill_diagonal(found, -np.inf)
    return found


def _same_neighbours(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Percentage of samples whose nearest neighbour is the float model's, or as near there."""
    import numpy as np

    places = np.arange(len(theirs))
    nearest = theirs.max(axis=1)
    average = np.where(np.isfinite(theirs), theirs, 0.0).sum(axis=1) / (len(theirs) - 1)
    chosen = theirs[places, ours.argmax(axis=1)]
    return 100 * float(np.mean(nearest - chosen <= _TIE * (nearest - average)))


EMBEDDING = _Embedding(
    "embedding", metric=Metric("nearest neighbours", "neighb."), more=(_LEAST, _MEAN), counts_samples=True
)
