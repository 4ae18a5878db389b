"""Palettes: close to the best there is, repeatable, and exact where they can be."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.graph.palettes import codes, palette


def _error(weights: np.ndarray, centres: np.ndarray) -> float:
    return float(np.square(centres[codes(weights, centres)] - weights.ravel()).sum())


def _least(weights: np.ndarray, entries: int) -> float:
    """The least squared error that any palette has, by dynamic programming over the sorted weights."""
    line = np.sort(weights.ravel())
    sums, squares = (np.concatenate([[0.0], np.cumsum(line**power)]) for power in (1, 2))
    ends = np.arange(len(line) + 1)
    count = np.maximum(ends[:, None] - ends, 1)
    cost = (squares[:, None] - squares) - (sums[:, None] - sums) ** 2 / count
    cost[ends[:, None] < ends] = np.inf
    best = cost[:, 0]
    for _ in range(entries - 1):
        best = (cost + best).min(axis=1)
    return float(best[-1])


@pytest.mark.parametrize("shape", ["normal", "heavy", "lumps"])
@pytest.mark.parametrize("entries", [16, 64])
def test_its_error_is_close_to_the_least(shape: str, entries: int) -> None:
    draw = np.random.default_rng(0)
    weights = {
        "normal": draw.normal(size=(40, 20)),
        "heavy": draw.standard_t(2, size=(40, 20)),
        "lumps": draw.choice([-1.0, 0.0, 5.0], size=(40, 20)) + 0.01 * draw.normal(size=(40, 20)),
    }[shape]
    centres = palette(weights, entries)
    assert len(centres) == entries
    assert (np.diff(centres) >= 0).all()
    assert _error(weights, centres) <= 1.15 * _least(weights, entries)


def test_few_values_are_kept_exactly() -> None:
    weights = np.random.default_rng(0).choice(np.linspace(-1, 1, 16), size=(30, 30))
    centres = palette(weights, 16)
    assert np.array_equal(centres[codes(weights, centres)].reshape(weights.shape), weights)
    assert palette(np.zeros((4, 4)), 16).tolist() == [0.0]


def test_it_is_the_same_each_time() -> None:
    weights = np.random.default_rng(0).normal(size=5000)
    assert np.array_equal(palette(weights, 64), palette(weights[::-1], 64))
