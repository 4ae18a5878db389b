"""Monitoring: statistics that an app recorded on a device, compared with those of the evaluation samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from edgepack.contract.expected import Expected, Histogram
from edgepack.errors import BundleError
from edgepack.toml import Strict

SOME, MUCH = 0.1, 0.25
"""Usual thresholds of the population stability index: a population is stable below the first and has shifted
above the second (Siddiqi, Credit Risk Scorecards, 2006)."""
_PSEUDOCOUNT = 0.5
"""Added to every count: the index is not defined for empty bins."""
_QUANTILE = 2.326
"""The 99th percentile of the standard normal distribution."""

Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Times(Strict):
    """Durations of the last inferences in milliseconds. Percentiles are nearest-rank."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class Thermal(Strict):
    """The thermal state that the platform reports."""

    state: str
    celsius: float | None = None


class Monitored(Strict):
    """The statistics file of an app."""

    schema_number: int
    model: str
    file: str
    runtime: str
    device: str
    count: int
    """Number of inferences."""
    failures: int
    load_ms: float
    latency_ms: Times | None
    preprocess_ms: Times | None = None
    memory_mb: float | None
    """Peak resident memory of the app's process."""
    thermal: Thermal | None
    top_score: Counts | None
    """Histogram of the highest score, with the edges of `expected.json`; None if not recorded."""
    input_mean: Counts | None
    """Histogram of the mean of the first input; None if not recorded."""


def read(path: Path) -> Monitored:
    """Read the statistics file at `path`. Raises BundleError if it is not one."""
    try:
        return Monitored.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise BundleError(f"{path} cannot be read: {cause}") from cause
    except ValidationError as cause:
        first = cause.errors()[0]
        key = ".".join(map(str, first["loc"])) or "file"
        raise BundleError(f"{path} is not a statistics file of an app: {key}: {first['msg']}") from cause


@dataclass(frozen=True)
class Drift:
    """The distance between a recorded and an expected histogram."""

    what: str
    index: float
    """Population stability index, `sum((a - e) * ln(a / e))` over the shares of the bins; 0 if equal."""
    chance: float
    """99th percentile of the index for this number of samples when nothing has drifted."""

    @property
    def verdict(self) -> str:
        """Whether there is drift, in words."""
        if self.index <= self.chance:
            return "within chance"
        return "slight drift" if self.index < SOME else "some drift" if self.index < MUCH else "drift"


def drifts(monitored: Monitored, expected: Expected) -> tuple[Drift, ...]:
    """The drift of each histogram that both have. Raises BundleError if their numbers of bins differ."""
    histograms = (
        ("top score", monitored.top_score, expected.top_score),
        ("input mean", monitored.input_mean, expected.input_mean),
    )
    return tuple(
        _drift(name, counts, reference)
        for name, counts, reference in histograms
        if counts and sum(counts) and reference.edges
    )


def _drift(name: str, counts: tuple[int, ...], expected: Histogram) -> Drift:
    """Compare two histograms.

    Without drift the index is distributed as (1/n + 1/m) times chi-square with one degree of freedom less
    than bins (Yurdakul, Statistical Properties of Population Stability Index, 2018).
    """
    if len(counts) != len(expected.counts):
        raise BundleError(
            f"the app counted {name} in {len(counts)} bins, the bundle in {len(expected.counts)}",
            hint="use the bundle that the app was rendered from",
        )
    bins = [(a, e) for a, e in zip(counts, expected.counts) if a or e]
    actual, reference = (_shares(column) for column in zip(*bins))
    index = sum((a - e) * math.log(a / e) for a, e in zip(actual, reference))
    variance = 1 / sum(counts) + 1 / sum(expected.counts)
    return Drift(name, index, variance * _chi_square(len(bins) - 1))


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts) + _PSEUDOCOUNT * len(counts)
    return [(count + _PSEUDOCOUNT) / total for count in counts]


def _chi_square(degrees: int) -> float:
    """99th percentile of the chi-square distribution, by the approximation of Wilson and Hilferty (1931)."""
    if not degrees:
        return 0.0
    variance = 2 / (9 * degrees)
    return degrees * (1 - variance + _QUANTILE * math.sqrt(variance)) ** 3
