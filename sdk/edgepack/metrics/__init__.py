"""Metrics: how close outputs are to a reference. Everything that compares outputs uses these functions.

The outputs of a sample are a tuple of arrays; most functions take many samples, paired with their references.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edgepack.arrays import Array, Sample

LEAST_PROBABILITY = 1e-12
"""Probabilities are clipped to this distance from 0 and 1 before their logarithm is computed."""

Pairs = Iterable[tuple[Array, Array]]


def class_index(scores: Array) -> Array:
    """The best class, int64 [batch]: arg-max of scores [batch, classes]; class indices [batch] stay as is."""
    return scores.astype(np.int64) if scores.ndim < 2 else np.argmax(scores, axis=-1)


def top1(outputs: Iterable[Sample]) -> Array:
    """The class that the first output of each sample predicts, int64 [samples]."""
    return np.asarray([int(class_index(sample[0])[0]) for sample in outputs])


def agreement(classes: Array, reference: Array) -> float:
    """Percentage of samples that have the reference's class; with labels as reference, the accuracy."""
    return float(np.mean(classes == reference) * 100)


def energies(pairs: Pairs) -> tuple[float, float]:
    """Sums of squares over all pairs (output, reference): of the differences, and of the references."""
    noise = signal = 0.0
    for ours, theirs in pairs:
        reference = theirs.astype(np.float64)
        noise += float(np.sum((ours.astype(np.float64).reshape(theirs.shape) - reference) ** 2))
        signal += float(np.sum(reference**2))
    return noise, signal


def decibels(noise: float, signal: float) -> float:
    """Signal-to-noise ratio in dB: infinite without noise; minus infinity without signal, or with NaN."""
    if not math.isfinite(noise) or signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf


def sqnr_db(pairs: Pairs) -> float:
    """Signal-to-quantization-noise ratio of outputs and their references, in dB; see `decibels`."""
    return decibels(*energies(pairs))


def cosine(ours: Array, theirs: Array) -> float:
    """Cosine similarity of two outputs; 1 if both are zero.

    Single integers, such as a class index, have no angle: 1 if they are equal, else 0.
    """
    if ours.size == 1 and ours.dtype.kind in "iu":
        return float(np.array_equal(ours.ravel(), theirs.ravel()))
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / product if product else float(np.array_equal(a, b))


def relative_error(ours: Array, theirs: Array) -> float:
    """Largest difference divided by the largest reference value; infinite if only one of them is finite."""
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    if np.array_equal(a, b, equal_nan=True) or not a.size:
        return 0.0
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), np.finfo(np.float32).tiny))


def is_finite(outputs: Iterable[Sample]) -> bool:
    """Whether no output contains NaN or infinity."""
    return all(np.isfinite(array.astype(np.float64)).all() for sample in outputs for array in sample)


def scores(values: Array, activation: str) -> NDArray[np.float64]:
    """Scores after an activation: `none`, `sigmoid`, or `softmax` over the last axis; in double precision."""
    exact = values.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * exact))  # 1 / (1 + exp(-x)) without overflow
    if activation == "softmax":
        powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return exact


def activate(values: Array, activation: str) -> Array:
    """Scores after an activation, in float32; `values` themselves for `none`."""
    return values if activation == "none" else scores(values, activation).astype(np.float32)


def activated(reference: tuple[Sample, ...], activation: str) -> tuple[Sample, ...]:
    """Reference outputs for a model file that applies `activation` to its first output itself."""
    if activation == "none":
        return reference
    return tuple((activate(sample[0], activation), *sample[1:]) for sample in reference)


def deactivate(values: Array, activation: str) -> Array:
    """Invert an activation: logits for `sigmoid`; for `softmax`, logits minus a constant.

    Probabilities hide differences between scores: near 0 and 1 they hardly change.
    """
    if activation == "none":
        return values
    probabilities = np.clip(values.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    logits: Array = np.log(probabilities)
    return logits if activation == "softmax" else logits - np.log1p(-probabilities)


def is_equal(pairs: Pairs) -> bool:
    """Whether all outputs equal their references, bit for bit."""
    return all(np.array_equal(ours.ravel(), theirs.ravel()) for ours, theirs in pairs)
