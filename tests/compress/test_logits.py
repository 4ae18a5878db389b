"""Logits of probabilities: the inverse of the activation, with finite gradients."""

from __future__ import annotations

import pytest
import torch

from edgepack import metrics
from edgepack.compress.logits import LEAST_PROBABILITY, logits

SCORES = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, 0.0]])


def test_none_returns_the_values_themselves() -> None:
    assert logits(SCORES, "none") is SCORES


def test_sigmoid_is_inverted() -> None:
    assert torch.allclose(logits(SCORES.sigmoid(), "sigmoid"), SCORES, atol=1e-5)


def test_softmax_is_inverted_up_to_a_constant() -> None:
    difference = logits(SCORES.softmax(-1), "softmax") - SCORES
    assert torch.allclose(difference, difference[:, :1].expand(-1, 3), atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_arrays_have_the_same_logits(activation: str) -> None:
    probabilities = getattr(torch, activation)(SCORES, **({"dim": -1} if activation == "softmax" else {}))
    expected = torch.from_numpy(metrics.deactivate(probabilities.numpy(), activation))
    assert torch.allclose(logits(probabilities, activation).double(), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_gradients_are_finite_and_bounded(activation: str) -> None:
    probabilities = torch.tensor([0.0, 1e-9, 2e-6, 0.5, 1 - 2e-6, 1.0], requires_grad=True)
    logits(probabilities, activation).sum().backward()
    assert probabilities.grad is not None
    assert bool(probabilities.grad.isfinite().all())
    assert float(probabilities.grad.abs().max()) <= 1.001 / LEAST_PROBABILITY
