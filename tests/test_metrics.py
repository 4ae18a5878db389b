"""Metrics: values at their limits, where formulas overflow or divide by zero."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack import metrics


def test_huge_scores_do_not_overflow() -> None:
    values = metrics.scores(np.array([[-1e9, 0.0, 1e9]], np.float32), "sigmoid")
    np.testing.assert_array_equal(values, [[0.0, 0.5, 1.0]])
    values = metrics.scores(np.array([[1e9, 1e9]], np.float32), "softmax")
    np.testing.assert_allclose(values, [[0.5, 0.5]])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_deactivate_inverts_activate(activation: str) -> None:
    scores = np.array([[-3.0, 0.0, 2.5]])
    probabilities = metrics.activate(scores, activation)
    logits = metrics.deactivate(probabilities, activation)
    shift = logits - scores
    np.testing.assert_allclose(shift, shift[0, 0] if activation == "softmax" else 0, atol=1e-6)
    assert np.isfinite(metrics.deactivate(np.array([[0.0, 1.0]]), activation)).all()
