"""Monitoring: what an app has seen on a device, against what the build expects."""

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
"""Customary bounds of the population stability index: below the first the population is taken to be stable,
above the second to have shifted (Siddiqi, Credit Risk Scorecards, 2006)."""
_UNSEEN = 0.5
"""Added to every count, so that a bin that was never seen has a share."""
_QUANTILE = 2.326
"""Of the normal distribution, at 99 percent."""

Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Times(Strict):
    """Milliseconds of the last inferences: nearest-rank percentiles."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class Thermal(Strict):
    """How warm the device is, as its platform tells."""

    state: str
    celsius: float | None = None


class Monitored(Strict):
    """What an app has recorded, as it exports it."""

    schema_number: int
    model: str
    file: str
    runtime: str
    device: str
    count: int
    """Inferences."""
    failures: int
    load_ms: float
    latency_ms: Times | None
    preprocess_ms: Times | None = None
    memory_mb: float | None
    """Peak resident memory of the app's process."""
    thermal: Thermal | None
    top_score: Counts | None
    """How often the highest score lay between two of the expectations' edges; None where not recorded."""
    input_mean: Counts | None


def read(path: Path) -> Monitored:
    """What the app wrote into the file at `path`. Raises BundleError where it is no such file."""
    try:
        return Monitored.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise BundleError(f"{path} cannot be read: {cause}") from cause
    except ValidationError as cause:
        first = cause.errors()[0]
        place = ".".join(str(each) for each in first["loc"]) or "it"
        raise BundleError(
            f"{path} is not what an app's monitoring writes: {place}: {first['msg']}"
        ) from cause


@dataclass(frozen=True)
class Drift:
    """How far what was seen is from what was expected."""

    what: str
    index: float
    """Population stability index: `sum((a - e) * ln(a / e))` over the bins' shares, 0 if alike."""
    chance: float
    """What the index stays below in 99 of 100 cases where nothing has drifted, with as many samples."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.index <= self.chance:
            return "within chance"
        return "slight drift" if self.index < SOME else "some drift" if self.index < MUCH else "drift"


def drifts(found: Monitored, expected: Expected) -> tuple[Drift, ...]:
    """The drift of each histogram that both have. Raises BundleError where they are of other builds."""
    pairs = (
        ("top score", found.top_score, expected.top_score),
        ("input mean", found.input_mean, expected.input_mean),
    )
    return tuple(
        _drift(what, seen, wanted) for what, seen, wanted in pairs if seen and sum(seen) and wanted.edges
    )


def _drift(what: str, seen: tuple[int, ...], expected: Histogram) -> Drift:
    """Source of the bound: Yurdakul, Statistical Properties of Population Stability Index (2018): without
    drift the index is (1/n + 1/m) times a chi-square of one degree less than bins."""
    if len(seen) != len(expected.counts):
        raise BundleError(
            f"the app counted {what} in {len(seen)} bins, the bundle in {len(expected.counts)}",
            hint="give the bundle that the app was rendered from",
        )
    bins = [(a, e) for a, e in zip(seen, expected.counts) if a or e]
    ours, theirs = (_shares(each) for each in zip(*bins))
    index = sum((a - e) * math.log(a / e) for a, e in zip(ours, theirs))
    samples = 1 / sum(seen) + 1 / sum(expected.counts)
    return Drift(what, index, samples * _chi_square(len(bins) - 1))


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts) + _UNSEEN * len(counts)
    return [(count + _UNSEEN) / total for count in counts]


def _chi_square(freedom: int) -> float:
    """Its 99 percent quantile, by Wilson and Hilferty (1931)."""
    if not freedom:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _QUANTILE * math.sqrt(part)) ** 3
