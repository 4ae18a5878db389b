"""Checks of a run on the emulated device: its outputs compared with the host's and the float model's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepack import metrics
from edgepack.arrays import Array, Sample
from edgepack.emulator.arm.inference import Run
from edgepack.evaluate import shares
from edgepack.evaluate.model_file import Reference
from edgepack.evaluate.shares import Shared
from edgepack.report import Check, Verdict
from edgepack.scheme import SCHEMES, SchemeName

FLOAT_TOLERANCE: dict[SchemeName, float] = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest relative error of float outputs between host and device, which sum in another order
(fp32, measured: 4e-7 to 2e-6)."""
COSINE = 0.97
"""Lowest cosine of quantized outputs. Kernels differ by single codes between processors, and a deep network
propagates them until two runs differ by as much as int8 differs from float: 15 dB of noise are a cosine of
0.97 (measured on MobileNetV2 at 19 dB: 0.988, the same top-1 classes)."""


COSINE_FLOAT = 0.9
"""Lowest cosine of any quantized output to the float model's; 10 dB of noise are 0.95."""

_LEVELS = 256
"""Values that 8 bits hold."""
_SAME = 1e-6
"""Values that differ by less than this share of the greatest count as equal."""
_WHOLE = 1e-4
"""Share of the values' span by which a value may be off the quantization grid: at least 1/40 of a step."""


@dataclass(frozen=True)
class Distance:
    """How two runs differ, over all outputs of all samples."""

    relative: float
    """Largest difference of an output over its largest value; integers do not count."""
    cosine: float
    """Lowest cosine of an output; integers do not count."""
    shared: tuple[Shared, ...]
    """The metric of each output's kind, where it has one."""


@dataclass(frozen=True)
class Agreement:
    """How the device's outputs differ from the host's and the float model's."""

    to_host: Distance
    """From this host's run of the same file."""
    to_float: Distance
    """From the float model."""
    host_to_float: Distance
    """How the host's run differs from the float model, which the device is not to blame for."""
    lsbs: float | None
    """Largest difference from the host in quantization steps; None where outputs are floats."""
    samples: int


def agreement(run: Run, here: tuple[Sample, ...], reference: Reference, scheme: SchemeName) -> Agreement:
    """Compare a run with the same file's outputs on the host, and with the float model's.

    Both may have more samples than ran; those that ran are their first.
    """
    count = len(run.outputs)
    pairs = [(ours, theirs) for a, b in zip(run.outputs, here) for ours, theirs in zip(a, b, strict=True)]
    floats = reference.outputs[:count]
    return Agreement(
        to_host=_distance(run.outputs, here[:count], reference),
        to_float=_distance(run.outputs, floats, reference),
        host_to_float=_distance(here[:count], floats, reference),
        lsbs=None if SCHEMES[scheme].is_float else _most_steps(pairs),
        samples=count,
    )


def _distance(outputs: tuple[Sample, ...], others: tuple[Sample, ...], reference: Reference) -> Distance:
    pairs = [
        (ours, theirs)
        for row, other in zip(outputs, others, strict=True)
        for ours, theirs in zip(row, other, strict=True)
        if theirs.dtype.kind not in "iub"
    ]
    return Distance(
        relative=max((metrics.relative_error(ours, theirs) for ours, theirs in pairs), default=0.0),
        cosine=min((metrics.cosine(ours, theirs) for ours, theirs in pairs), default=1.0),
        shared=shares.of(outputs, others, reference),
    )


def _most_steps(pairs: list[tuple[Array, Array]]) -> float | None:
    found = [_steps(ours, theirs) for ours, theirs in pairs]
    return None if None in found else max(each for each in found if each is not None)


def _steps(ours: Array, theirs: Array) -> float | None:
    """The largest difference in steps of an 8-bit output; None where 256 values cannot hold it: floats."""
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
    """The greatest common divisor of two numbers, to within `least` (Euclid's algorithm)."""
    while a > least:
        a, b = abs(b - a * round(b / a)), a
    return b


def checks(run: Run, found: Agreement, scheme: SchemeName) -> tuple[Check, ...]:
    """The checks of a run on the emulated device; their names begin with "device"."""
    if not metrics.is_finite(run.outputs):
        return (Check("device runs", "fail", None, None, "", "the file returns NaN or infinity there"),)
    runs = Check("device runs", "pass", None, None, "", f"{run.runtime} on {run.about}, emulated")
    return runs, to_host(found, scheme), *_to_float(found, scheme)


def to_host(found: Agreement, scheme: SchemeName) -> Check:
    """The outputs against this host's: of floats the relative error, of quantized outputs the cosine and the
    metric of each output's kind, in which one decision may differ (a near tie among 8 samples)."""
    distance = found.to_host
    if SCHEMES[scheme].is_float:
        limit = FLOAT_TOLERANCE[scheme]
        within = _verdict(distance.relative <= limit)
        check = Check("device agrees", within, distance.relative, limit, "relative error")
    else:
        remarks = [str(each) for each in distance.shared]
        remarks += [] if found.lsbs is None else [f"largest difference {found.lsbs:.0f} LSB"]
        within = _verdict(distance.cosine >= COSINE)
        check = Check("device agrees", within, distance.cosine, COSINE, "cosine", ", ".join(remarks))
    missed = shares.missed(check, distance.shared)
    return missed if missed and within == "pass" else check


def _to_float(found: Agreement, scheme: SchemeName) -> tuple[Check, ...]:
    """The outputs against the float model's. The device may be as far away as this host's run is, and by a
    tolerance farther: what the host lacks is no failure of the device."""
    name, there, here = "device agrees with float", found.to_float, found.host_to_float
    pairs = [(each, _of_same_output(each, here)) for each in there.shared]
    if SCHEMES[scheme].is_float:
        limit = FLOAT_TOLERANCE[scheme] + here.relative
        within = _verdict(there.relative <= limit)
        check = Check(name, within, there.relative, limit, "relative error")
    else:
        limit = min(COSINE_FLOAT, here.cosine - (1 - COSINE))
        within = _verdict(there.cosine >= limit)
        remarks = ", ".join(f"{each}, on this host {on.value:.1f} %" for each, on in pairs if on)
        check = Check(name, within, there.cosine, limit, "cosine", remarks)
    missed = [less for each, on in pairs if on and (less := shares.missed(check, (each,), on.value))]
    return (missed[0] if missed and within == "pass" else check,)


def _of_same_output(shared: Shared, distance: Distance) -> Shared | None:
    return next((each for each in distance.shared if each.output == shared.output), None)


def _verdict(holds: bool) -> Verdict:
    return "pass" if holds else "fail"
