"""Palettes: a few values in place of all weights of a tensor.

One-dimensional k-means over the sorted weights. The value with the largest error is split in two and all
values are moved to the means of their weights again (Linde, Buzo and Gray 1980, IEEE Transactions on
Communications 28(1)), until there are enough values. Nothing is random, so the same weights have the same
palette. Its error is within a few percent of the least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FEW = 2048
"""A tensor of this many weights or fewer stays in float, as coremltools recommends."""
_SETTLE, _FINISH = 10, 300
"""Rounds of k-means after each split, and at the end."""
_STILL = 1e-7
"""Share of the weights' span: k-means ends when no value moves further."""


def palette(weights: Values, entries: int) -> Values:
    """The palette of weights of any shape: at most `entries` values, ascending.

    Weights that have no more different values than that are kept exactly.
    """
    points, counts = np.unique(weights, return_counts=True)
    if len(points) <= entries:
        return points.astype(np.float64)
    line = _Line(points, counts)
    centres = line.k_means(points[[0, -1]].astype(np.float64), _SETTLE)
    while len(centres) < entries:
        centres = line.k_means(line.split(centres), _SETTLE)
    return line.k_means(centres, _FINISH)


def codes(weights: Values, centres: Values) -> NDArray[np.uint8]:
    """The index of the palette's value nearest to each weight; flat, in the weights' order."""
    return np.searchsorted(_between(centres), weights.ravel()).astype(np.uint8)


class _Line:
    """Points with how often each occurs, as running sums, so that the sum of any stretch is a difference."""

    def __init__(self, points: Values, counts: NDArray[np.int64]) -> None:
        self.points = points.astype(np.float64)
        self.sums = np.zeros((3, len(points) + 1))
        np.cumsum([counts, counts * self.points, counts * self.points**2], axis=1, out=self.sums[:, 1:])

    def _stretches(self, centres: Values) -> Values:
        """Count, sum and sum of squares of the points nearest to each centre."""
        cuts = np.searchsorted(self.points, _between(centres))
        return np.diff(self.sums[:, np.concatenate([[0], cuts, [len(self.points)]])], axis=1)

    def k_means(self, centres: Values, rounds: int) -> Values:
        """Move each centre to the mean of the points nearest to it, for a number of rounds at most."""
        for _ in range(rounds):
            count, total, _ = self._stretches(centres)
            moved = np.where(count > 0, total / np.maximum(count, 1), centres)
            still = np.abs(moved - centres).max() <= _STILL * (self.points[-1] - self.points[0])
            centres = moved
            if still:
                break
        return centres

    def split(self, centres: Values) -> Values:
        """Replace the centre with the largest squared error by two, one deviation to either side."""
        count, total, squares = self._stretches(centres)
        error = squares - total**2 / np.maximum(count, 1)
        worst = int(error.argmax())
        step = np.sqrt(max(error[worst], 0) / max(count[worst], 1))
        return np.sort(np.concatenate([np.delete(centres, worst), centres[worst] + [-step, step]]))


def _between(centres: Values) -> Values:
    return np.asarray((centres[1:] + centres[:-1]) / 2)
