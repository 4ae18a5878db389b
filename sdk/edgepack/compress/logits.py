"""Logits of probabilities, with gradients. `metrics.deactivate` is the same for arrays."""

from __future__ import annotations

from torch import Tensor

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped to this distance from 0 and 1, so that float32 can represent it and gradients
stay useful. Metrics, which need no gradients, clip at `metrics.LEAST_PROBABILITY`."""


def logits(values: Tensor, activation: str) -> Tensor:
    """Invert an activation: the logits of `sigmoid`; for `softmax`, logits minus a constant. Shapes stay."""
    if activation == "none":
        return values
    probabilities = values.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    logarithm = probabilities.log()
    return logarithm if activation == "softmax" else logarithm - (-probabilities).log1p()
