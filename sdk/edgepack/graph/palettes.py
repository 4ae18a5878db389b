"""Palettes: the few values that stand for all weights of a tensor.

One-dimensional k-means over the sorted weights: the value with the largest error is split in two and
all are settled again (Linde, Buzo and Gray 1980, IEEE Transactions on Communications 28(1)), until
there are enough. Nothing is drawn, so the same weights give the same palette, and its error is within
a few percent of the least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgepack.scheme import SchemeName

Values = NDArray[np.float64]

BITS: dict[SchemeName, int] = {"p4": 4, "p6": 6, "p8": 8, "sparse+p6": 6}
"""Of the schemes that keep weights in a palette."""
FEW = 2048
"""A tensor of no more weights than this stays in float, as coremltools advises."""
_SETTLE, _FINISH = 10, 300
"""Rounds of k-means after each split, and at the end."""
_STILL = 1e-7
"""Of the weights' span: a palette whose values move less has settled."""


def palette(weights: Values, entries: int) -> Values:
    """At most `entries` values, ascending, near which the weights (any shape) lie.

    Weights that hold no more values than that are kept exactly.
    """
    points, counts = np.unique(weights, return_counts=True)
    if len(points) <= entries:
        return points.astype(np.float64)
    line = _Line(points, counts)
    centres = line.settled(points[[0, -1]].astype(np.float64), _SETTLE)
    while len(centres) < entries:
        centres = line.settled(line.split(centres), _SETTLE)
    return line.settled(centres, _FINISH)


def codes(weights: Values, centres: Values) -> NDArray[np.uint8]:
    """Which value of a palette is nearest to each weight; flat, in the weights' order."""
    return np.searchsorted(_between(centres), weights.ravel()).astype(np.uint8)


class _Line:
    """Points on a line with how often each occurs, summed up from the left: any stretch is a difference."""

    def __init__(self, points: Values, counts: NDArray[np.int64]) -> None:
        self.points = points.astype(np.float64)
        self.sums = np.zeros((3, len(points) + 1))
        np.cumsum([counts, counts * self.points, counts * self.points**2], axis=1, out=self.sums[:, 1:])

    def _stretches(self, centres: Values) -> Values:
        """Count, sum and sum of squares of the points nearest to each centre."""
        cuts = np.searchsorted(self.points, _between(centres))
        return np.diff(self.sums[:, np.concatenate([[0], cuts, [len(self.points)]])], axis=1)

    def settled(self, centres: Values, rounds: int) -> Values:
        """Each centre in the middle of the points nearest to it, as far as some rounds bring it."""
        for _ in range(rounds):
            count, total, _ = self._stretches(centres)
            moved = np.where(count > 0, total / np.maximum(count, 1), centres)
            still = np.abs(moved - centres).max() <= _STILL * (self.points[-1] - self.points[0])
            centres = moved
            if still:
                break
        return centres

    def split(self, centres: Values) -> Values:
        """One centre more: the one with the largest squared error becomes two, a deviation apart."""
        count, total, squares = self._stretches(centres)
        error = squares - total**2 / np.maximum(count, 1)
        worst = int(error.argmax())
        step = np.sqrt(max(error[worst], 0) / max(count[worst], 1))
        return np.sort(np.concatenate([np.delete(centres, worst), centres[worst] + [-step, step]]))


def _between(centres: Values) -> Values:
    return np.asarray((centres[1:] + centres[:-1]) / 2)
