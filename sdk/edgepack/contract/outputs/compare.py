"""Compare the outputs of a model file with the float model's, by the metrics of their kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract.outputs.kind import TaskMetrics
from edgepack.contract.outputs.output import Output


@dataclass(frozen=True)
class Comparison:
    """How close a model file's outputs are to the float model's."""

    task: TaskMetrics
    """Metrics of the first output's kind."""
    sqnr_db: float | None
    """Signal to quantization noise over all values, in dB; None if it is infinite or undefined."""
    exact: bool
    """Whether all outputs are equal, bit for bit."""
    has_values: bool
    """Whether there are values to compute SQNR of."""


def compare(
    declared: Sequence[Output],
    outputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    labels: Sequence[int] | None,
) -> Comparison:
    """Compare `outputs` with `reference`, sample by sample.

    `declared` are the contract's outputs, `labels` the class numbers of the samples, or None. Raises
    ValueError if numbers of samples or of outputs differ.
    """
    indices = {n for n, output in enumerate(declared) if not output.meaning.has_values}
    noise, signal = metrics.energies(
        (a, b)
        for ours, theirs in zip(outputs, reference, strict=True)
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if n not in indices
    )
    same_indices = all(
        np.array_equal(ours[n].ravel(), theirs[n].ravel())
        for ours, theirs in zip(outputs, reference)
        for n in indices
    )
    return Comparison(
        task=declared[0].meaning.task_metrics(outputs, reference, labels),
        sqnr_db=metrics.decibels(noise, signal) if noise and signal and math.isfinite(noise) else None,
        exact=noise == 0 and same_indices,
        has_values=len(indices) < len(declared),
    )
