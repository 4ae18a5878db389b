"""What an app's monitoring should see, from the samples of the build: the reference for drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract.samples import Samples
from edgepack.contract.schema import Contract
from edgepack.errors import BundleError
from edgepack.toml import Strict

FILE = "expected.json"
SCHEMA = 1
_SCORES = tuple(round(0.05 * n, 2) for n in range(1, 20))
"""Edges for scores from 0 to 1."""
_BINS = 16


class Histogram(Strict):
    """How often a value lies between two edges; the first count is below all edges, the last above."""

    edges: tuple[float, ...] = ()
    """Rising; empty if the value does not exist."""
    counts: tuple[int, ...] = ()


class Expected(Strict):
    """What monitoring is compared with."""

    schema_number: int = SCHEMA
    top_score: Histogram = Histogram()
    """Highest score of each evaluation sample, after the activation, from the float model."""
    input_mean: Histogram = Histogram()
    """Mean of the first input of each calibration sample; for an image, of the 8-bit values it is made of."""
    origin: str = ""
    """The samples that were counted, in words."""


def of(contract: Contract, seen: Samples, evaluation: Samples, reference: tuple[Sample, ...]) -> Expected:
    """Count the calibration samples `seen`, and the float model's outputs `reference` for `evaluation`."""
    first = contract.inputs[0]
    means = np.array([first.monitored_mean(row[0]) for row in seen.inputs])
    return Expected(
        top_score=_top_scores(contract, reference),
        input_mean=_counted(means, first.mean_edges or _between(means)),
        origin=f"inputs: {seen.origin}; scores: {evaluation.origin}",
    )


def read(folder: Path) -> Expected:
    """The expectations of the bundle in `folder`. Raises BundleError if they are missing or damaged."""
    try:
        return Expected.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as cause:
        raise BundleError(f"{folder / FILE} cannot be read: {str(cause).splitlines()[0]}") from cause


def _top_scores(contract: Contract, reference: tuple[Sample, ...]) -> Histogram:
    output = contract.classes
    if output is None:
        return Histogram()
    tops = np.array([float(np.max(metrics.scores(row[0], output.activation))) for row in reference])
    within = output.activation != "none" or bool(tops.min() >= 0 and tops.max() <= 1)
    return _counted(tops, _SCORES if within else _between(tops))


def _between(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges that divide the range of `values` evenly; none if all are equal, or none is finite."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if not low < high:
        return ()
    return tuple(float(f"{edge:.6g}") for edge in np.linspace(low, high, _BINS + 1)[1:-1])


def _counted(values: NDArray[np.float64], edges: tuple[float, ...]) -> Histogram:
    if not edges:
        return Histogram()
    bins = np.searchsorted(np.asarray(edges), values, side="right")
    return Histogram(edges=edges, counts=tuple(np.bincount(bins, minlength=len(edges) + 1).tolist()))
