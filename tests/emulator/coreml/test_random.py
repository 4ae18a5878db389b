"""Random numbers in the evaluator: of the right kind, and the same again for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from single_op import computed

MANY = np.array([20000], np.int32)


def _twice(kind: str, name: str, given: np.ndarray, **settings: Any) -> np.ndarray:
    first, second = (computed(kind, {name: given}, seed=3, **settings)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, computed(kind, {name: given}, seed=4, **settings)[0])
    return first


def test_bernoulli() -> None:
    drawn = _twice("random_bernoulli", "shape", MANY, prob=np.float32(0.3))
    assert set(drawn) == {0, 1}
    assert drawn.mean() == pytest.approx(0.3, abs=0.02)


def test_normal() -> None:
    drawn = _twice("random_normal", "shape", MANY, mean=np.float32(2), stddev=np.float32(0.5))
    assert (drawn.mean(), drawn.std()) == (pytest.approx(2, abs=0.02), pytest.approx(0.5, abs=0.02))


def test_uniform() -> None:
    drawn = _twice("random_uniform", "shape", MANY, low=np.float32(-1), high=np.float32(3))
    assert -1 <= drawn.min() < -0.99
    assert 2.99 < drawn.max() < 3
    assert drawn.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("mode", ["logits", "probs"])
def test_categorical(mode: str) -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]], np.float32)
    given = shares if mode == "probs" else np.log(shares + 1e-9)
    drawn = _twice("random_categorical", "x", given, mode=mode, size=20000)
    for row, share in zip(drawn, shares):
        np.testing.assert_allclose(np.bincount(row.astype(int), minlength=3) / 20000, share, atol=0.02)
