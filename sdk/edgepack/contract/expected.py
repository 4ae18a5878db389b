"""Expectations: what an app's monitoring should see, from the samples of the build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgepack.arrays import Array, Sample
from edgepack.contract import Contract, ImageInput, Output
from edgepack.contract.samples import Samples
from edgepack.errors import BundleError
from edgepack.toml import Strict

FILE = "expected.json"
SCHEMA = 1
_SCORES = tuple(round(0.05 * n, 2) for n in range(1, 20))
"""Edges for scores from 0 to 1."""
_LEVELS = tuple(16.0 * n for n in range(1, 16))
"""Edges for 8-bit values."""
_BINS = 16


class Histogram(Strict):
    """How often a figure lies between two edges; the first count is below all of them, the last above."""

    edges: tuple[float, ...] = ()
    """Rising; empty where the figure does not exist."""
    counts: tuple[int, ...] = ()


class Expected(Strict):
    """What monitoring is held against."""

    schema_number: int = SCHEMA
    top_score: Histogram = Histogram()
    """Of the float model, each evaluation sample's highest score after the activation."""
    input_mean: Histogram = Histogram()
    """Of each calibration sample: the mean of its picture's 8-bit values as the model sees them, or of
    its first input."""
    origin: str = ""
    """Which samples were counted, in words."""


def of(contract: Contract, seen: Samples, evaluation: Samples, reference: tuple[Sample, ...]) -> Expected:
    """The expectations of a model that was calibrated on `seen` and answers `reference` to `evaluation`."""
    first = contract.inputs[0]
    means = np.array([_mean(row[0], first if isinstance(first, ImageInput) else None) for row in seen.inputs])
    edges = _LEVELS if isinstance(first, ImageInput) else _between(means)
    return Expected(
        top_score=_top_scores(contract, reference),
        input_mean=_counted(means, edges),
        origin=f"inputs: {seen.origin}; scores: {evaluation.origin}",
    )


def read(folder: Path) -> Expected:
    """Of the bundle in `folder`. Raises BundleError where it has none, or a damaged one."""
    try:
        return Expected.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as cause:
        raise BundleError(f"{folder / FILE} cannot be read: {str(cause).splitlines()[0]}") from cause


def _mean(values: Array, image: ImageInput | None) -> float:
    if image is None:
        return float(np.mean(values.astype(np.float64)))
    if image.dtype == "uint8":
        return float(np.mean(values.astype(np.float64)))
    scale, bias = (np.asarray(each) for each in image.per_channel())
    pixels = np.moveaxis(values, 1, -1) if image.layout == "NCHW" else values
    return float(np.mean(np.round((pixels.astype(np.float64) - bias) / scale)))


def _top_scores(contract: Contract, reference: tuple[Sample, ...]) -> Histogram:
    output = contract.classes
    if output is None:
        return Histogram()
    tops = np.array([float(np.max(activated(row[0], output))) for row in reference])
    within = output.activation != "none" or bool(tops.min() >= 0 and tops.max() <= 1)
    return _counted(tops, _SCORES if within else _between(tops))


def activated(scores: Array, output: Output) -> NDArray[np.float64]:
    """Scores with the activation that the model leaves to the app, over the last axis."""
    values = scores.astype(np.float64)
    if output.activation == "softmax":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return 0.5 + 0.5 * np.tanh(0.5 * values) if output.activation == "sigmoid" else values


def _between(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges that part the span of `values` evenly; none where they are all one, or none is finite."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if not low < high:
        return ()
    return tuple(float(f"{each:.6g}") for each in np.linspace(low, high, _BINS + 1)[1:-1])


def _counted(values: NDArray[np.float64], edges: tuple[float, ...]) -> Histogram:
    if not edges:
        return Histogram()
    bins = np.searchsorted(np.asarray(edges), values, side="right")
    return Histogram(edges=edges, counts=tuple(np.bincount(bins, minlength=len(edges) + 1).tolist()))
