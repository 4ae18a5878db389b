"""Scores that no kind is declared for: an output [1, n] whose top answers are compared, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgepack.contract.outputs.classification import AGREEMENT, ClassOutput

if TYPE_CHECKING:
    from edgepack.arrays import Array

SCORES = ClassOutput("scores", has_class=True, metric=AGREEMENT, counts_samples=True)
FEWEST = 20
"""Samples below which one near tie would miss a limit of 95 %."""
_MOST_COMMON = 0.8
"""Largest share of one top answer: beyond it, the output is rather numbers of which one is the largest."""


def look_like_scores(rows: Sequence[Array]) -> bool:
    """Whether an output is [1, n] floats, n above 1, whose largest number is not nearly always the same one.

    The largest of several numbers with meanings of their own, as in a regression, is mostly the same; the
    largest of scores depends on the sample.
    """
    import numpy as np

    first = rows[0]
    if len(rows) < FEWEST or first.dtype.kind != "f" or first.ndim != 2 or first.shape[0] != 1:
        return False
    if first.shape[1] < 2 or any(row.shape != first.shape for row in rows):
        return False
    tops = np.bincount([int(row.argmax()) for row in rows])
    return bool(tops.max() <= _MOST_COMMON * len(rows))
