"""The verdict: the emulated device's answers against the host's of the same file, and the float model's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepack import metrics
from edgepack.arrays import Array, Sample
from edgepack.emulator.arm.inference import Run
from edgepack.report import Check, Verdict
from edgepack.scheme import SCHEMES, SchemeName

FLOAT_TOLERANCE: dict[SchemeName, float] = {"fp32": 1e-4, "fp16": 2e-2}
"""Most relative error of float answers between host and device: sums are made in another order
(fp32 measured: 4e-7 to 2e-6)."""
COSINE = 0.97
"""Least cosine of quantized answers. Kernels differ by single codes between processors, and a deep net
carries them on until two runs are apart by as much as its int8 is from float: 15 dB of noise are a
cosine of 0.97 (measured on MobileNetV2 of 19 dB: 0.988, the same top answers)."""


COSINE_FLOAT = 0.9
"""Least cosine of quantized answers to the float model's, of any one output; 10 dB of noise are 0.95."""

_LEVELS = 256
"""Values that 8 bits hold."""
_SAME = 1e-6
"""Values that differ by less than this share of the greatest are one."""
_WHOLE = 1e-4
"""Share of the values' span by which one may be off the grid of codes: a fortieth of a step, at least."""


@dataclass(frozen=True)
class Distance:
    """How two answers differ, over all outputs of all samples."""

    relative: float
    """Largest difference of an output over its largest value."""
    cosine: float
    """Least cosine of an output."""
    tops: float | None
    """Share of samples, in percent, with the same top answer; None where there are no classes."""


@dataclass(frozen=True)
class Agreement:
    """How the device's answers differ from others."""

    to_host: Distance
    """From this host's run of the same file."""
    to_float: Distance
    """From the float model."""
    host_to_float: Distance
    """How the host's run does, which is no matter of the device."""
    lsbs: float | None
    """Largest difference from the host in steps of the outputs' codes; None where they are floats."""
    samples: int


def agreement(
    run: Run, here: tuple[Sample, ...], reference: tuple[Sample, ...], scheme: SchemeName, *, classes: bool
) -> Agreement:
    """Compare a run with what the same file gave on the host, and with the float model's answers.

    Both may hold more samples than were run, which must be their first.
    """
    count = len(run.outputs)
    pairs = [(ours, theirs) for a, b in zip(run.outputs, here) for ours, theirs in zip(a, b, strict=True)]
    return Agreement(
        to_host=_distance(run.outputs, here[:count], classes=classes),
        to_float=_distance(run.outputs, reference[:count], classes=classes),
        host_to_float=_distance(here[:count], reference[:count], classes=classes),
        lsbs=None if SCHEMES[scheme].is_float else _most_steps(pairs),
        samples=count,
    )


def _distance(outputs: tuple[Sample, ...], others: tuple[Sample, ...], *, classes: bool) -> Distance:
    pairs = [
        (ours, theirs)
        for row, other in zip(outputs, others, strict=True)
        for ours, theirs in zip(row, other, strict=True)
    ]
    return Distance(
        relative=max(metrics.relative_error(ours, theirs) for ours, theirs in pairs),
        cosine=min(metrics.cosine(ours, theirs) for ours, theirs in pairs),
        tops=_same_tops(outputs, others) if classes else None,
    )


def _most_steps(pairs: list[tuple[Array, Array]]) -> float | None:
    found = [_steps(ours, theirs) for ours, theirs in pairs]
    return None if None in found else max(each for each in found if each is not None)


def _steps(ours: Array, theirs: Array) -> float | None:
    """The difference in steps of an 8-bit output; None where no 256 values hold what it takes: floats."""
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    gaps = np.diff(np.unique(np.concatenate([a, b])))
    span = float(gaps.sum())
    step = 0.0
    for gap in gaps[gaps > _SAME * max(1e-30, np.abs(a).max(), np.abs(b).max())].tolist():
        step = _common(step, gap, _WHOLE * span)
    if not step:
        return 0.0
    return float(np.abs(a - b).max() / step) if span / step < _LEVELS - 0.5 else None


def _common(a: float, b: float, least: float) -> float:
    """The greatest number of which two others are multiples, to within `least` (Euclid's algorithm)."""
    while a > least:
        a, b = abs(b - a * round(b / a)), a
    return b


def _same_tops(outputs: tuple[Sample, ...], others: tuple[Sample, ...]) -> float:
    first = len(outputs)
    return float(100 * np.mean(metrics.top1(outputs) == metrics.top1(others[:first])))


def checks(run: Run, found: Agreement, scheme: SchemeName) -> tuple[Check, ...]:
    """What must hold of a run on the emulated device; names begin with "device"."""
    if not metrics.is_finite(run.outputs):
        return (Check("device runs", "fail", None, None, "", "the file answers NaN or infinity there"),)
    runs = Check("device runs", "pass", None, None, "", f"{run.runtime} on {run.about}, emulated")
    return runs, to_host(found, scheme), *_to_float(found, scheme)


def to_host(found: Agreement, scheme: SchemeName) -> Check:
    """The answers against this host's: float ones by their error, quantized ones by cosine and top answer,
    which may be another one for one sample (of 8, a near tie)."""
    distance = found.to_host
    if SCHEMES[scheme].is_float:
        limit = FLOAT_TOLERANCE[scheme]
        within = _verdict(distance.relative <= limit)
        return Check("device agrees", within, distance.relative, limit, "relative error")
    holds = distance.cosine >= COSINE and _all_but_one(distance.tops, 100, found.samples)
    told = [] if distance.tops is None else [f"same top answer of {distance.tops:.1f} % of samples"]
    told += [] if found.lsbs is None else [f"largest difference {found.lsbs:.0f} LSB"]
    return Check("device agrees", _verdict(holds), distance.cosine, COSINE, "cosine", ", ".join(told))


def _to_float(found: Agreement, scheme: SchemeName) -> tuple[Check, ...]:
    """The answers against the float model's. What this host's run lacks itself is no failure of the device:
    it may be as far away, and by a tolerance farther."""
    name, there, here = "device agrees with float", found.to_float, found.host_to_float
    if SCHEMES[scheme].is_float:
        limit = FLOAT_TOLERANCE[scheme] + here.relative
        within = _verdict(there.relative <= limit)
        return (Check(name, within, there.relative, limit, "relative error"),)
    limit = min(COSINE_FLOAT, here.cosine - (1 - COSINE))
    holds = there.cosine >= limit and _all_but_one(there.tops, here.tops, found.samples)
    told = "" if there.tops is None else f"same top answer of {there.tops:.1f} % of samples, on this host of"
    told += "" if here.tops is None else f" {here.tops:.1f} %"
    return (Check(name, _verdict(holds), there.cosine, limit, "cosine", told),)


def _all_but_one(tops: float | None, wanted: float | None, samples: int) -> bool:
    """Whether a share of samples in percent is less than the one that is wanted by one sample at most."""
    return tops is None or wanted is None or (wanted - tops) * samples / 100 < 1.5


def _verdict(holds: bool) -> Verdict:
    return "pass" if holds else "fail"
