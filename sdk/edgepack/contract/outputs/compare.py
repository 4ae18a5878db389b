"""Compare the outputs of a model file with the float model's, one output at a time, by its kind's metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract.outputs.judge import Judged
from edgepack.contract.outputs.kind import Paired, TaskMetrics
from edgepack.contract.outputs.output import Output


@dataclass(frozen=True)
class Comparison:
    """How close a model file's output is to the float model's."""

    judged: Judged
    task: TaskMetrics
    """Metrics of the output's kind."""
    sqnr_db: float | None
    """Signal to quantization noise over all values, in dB; None if it is infinite or undefined."""
    exact: bool
    """Whether the output is equal, bit for bit."""
    has_values: bool
    """Whether there are values to compute SQNR of."""


def compare(
    declared: Sequence[Output],
    judged: Sequence[Judged],
    outputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    truth: Sequence[Sample] | None,
) -> tuple[Comparison, ...]:
    """Compare `outputs` with `reference`, sample by sample, for each of `judged`.

    `declared` are the contract's outputs, `truth` the labels of the samples, or None. Raises ValueError if
    numbers of samples or of outputs differ.
    """
    for ours, theirs in zip(outputs, reference, strict=True):
        for _ in zip(ours, theirs, declared, strict=True):
            pass
    return tuple(
        _compared(
            each,
            [declared[n] for n in each.places],
            [tuple(row[n] for n in each.places) for row in outputs],
            [tuple(row[n] for n in each.places) for row in reference],
            truth if each.takes_labels else None,
        )
        for each in judged
    )


def _compared(
    judged: Judged,
    declared: Sequence[Output],
    outputs: Sequence[Sample],
    reference: Sequence[Sample],
    truth: Sequence[Sample] | None,
) -> Comparison:
    pairs = [pair for ours, theirs in zip(outputs, reference) for pair in zip(ours, theirs)]
    values = [(a, b) for a, b in pairs if judged.kind.has_values and b.dtype.kind not in "iub"]
    noise, signal = metrics.energies(values)
    is_number = bool(noise and signal and math.isfinite(noise))
    return Comparison(
        judged=judged,
        task=judged.kind.task_metrics(Paired(declared, outputs, reference, truth)),
        sqnr_db=metrics.decibels(noise, signal) if is_number else None,
        exact=metrics.is_equal(pairs),
        has_values=bool(values),
    )
