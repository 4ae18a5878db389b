"""Metrics: values at their limits, where formulas overflow or divide by zero."""

from __future__ import annotations

import numpy as np

from edgepack import metrics


def test_huge_scores_do_not_overflow() -> None:
    values = metrics.scores(np.array([[-1e9, 0.0, 1e9]], np.float32), "sigmoid")
    np.testing.assert_array_equal(values, [[0.0, 0.5, 1.0]])
    values = metrics.scores(np.array([[1e9, 1e9]], np.float32), "softmax")
    np.testing.assert_allclose(values, [[0.5, 0.5]])
