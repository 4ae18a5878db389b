"""What of a model's outputs decides by the metrics of their kinds: the values that a search compares.

A search ranks recipes by the signal-to-noise ratio of these values, which varies smoothly where agreement
jumps. Raw outputs would rank by the output of the largest values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgepack import metrics
from edgepack.arrays import Array, Sample
from edgepack.contract.outputs.decisions import Decisions, threshold
from edgepack.contract.outputs.judge import Judged
from edgepack.contract.outputs.output import Output
from edgepack.contract.outputs.regression import REGRESSION
from edgepack.contract.outputs.tensor import TENSOR, is_few
from edgepack.metrics import variance

Pair = tuple[Array, Array]
Pairing = Callable[[Array, Array], Pair]
"""Takes an output and the float model's, and gives of both what decides."""
_TOP_CLASSES = 5


def ranked(
    declared: Sequence[Output], judged: Sequence[Judged], reference: Sequence[Sample]
) -> Callable[[Sample, Sample], list[Pair]]:
    """A function of a sample's outputs and the float model's that gives pairs of values, one per output.

    The pairs of all outputs have the same mean energy over `reference`, so that each output counts alike.
    """
    pairings: list[tuple[int, Pairing, float]] = []
    for each in judged:
        for place in each.places:
            rows = [row[place] for row in reference]
            pairing = _pairing(each, declared[place], rows)
            energy = float(np.mean([np.sum(np.square(pairing(row, row)[1])) for row in rows]))
            scale = 1 / math.sqrt(energy) if len(declared) > 1 and energy > 0 else 1.0
            pairings.append((place, pairing, scale))

    def pairs(outputs: Sample, theirs: Sample) -> list[Pair]:
        found = []
        for place, pairing, scale in pairings:
            a, b = pairing(outputs[place], theirs[place])
            found.append((a, b) if scale == 1 else (a * scale, b * scale))
        return found

    return pairs


def _pairing(judged: Judged, declared: Output, rows: Sequence[Array]) -> Pairing:
    kind = judged.kind
    if rows[0].dtype.kind in "iub":
        return _equality
    if kind.has_class:
        return _top_differences
    if isinstance(kind, Decisions):
        return _probabilities(declared, rows)
    if kind is REGRESSION or (kind is TENSOR and is_few(rows[0])):
        return _standardized(rows)
    return lambda ours, theirs: (ours, theirs)


def _top_differences(ours: Array, theirs: Array) -> Pair:
    """Scores of the classes that the float model ranks first, less their mean."""
    top = np.argsort(theirs[0])[-_TOP_CLASSES:]
    a, b = ours[0][top], theirs[0][top]
    return a - a.mean(), b - b.mean()


def _equality(ours: Array, theirs: Array) -> Pair:
    """1 where integers are equal, else 0, compared with 1."""
    return (ours.reshape(theirs.shape) == theirs).astype(np.float64), np.ones(theirs.shape)


def _probabilities(declared: Output, rows: Sequence[Array]) -> Pairing:
    """How far scores are from a coin's toss: how large a clear logit is does not matter."""
    is_logit = declared.activation == "none" and threshold(declared, rows) == 0
    activation = "sigmoid" if is_logit else declared.activation

    def pairing(ours: Array, theirs: Array) -> Pair:
        return metrics.scores(ours, activation) - 0.5, metrics.scores(theirs, activation) - 0.5

    return pairing


def _standardized(rows: Sequence[Array]) -> Pairing:
    """Values less their mean over their deviation, channel by channel."""
    mean, deviation = variance.spreads(variance.columns(rows))
    deviation = np.where(deviation > 0, deviation, 1.0)

    def pairing(ours: Array, theirs: Array) -> Pair:
        a, b = ((variance.columns([each]) - mean) / deviation for each in (ours, theirs))
        return a, b

    return pairing
