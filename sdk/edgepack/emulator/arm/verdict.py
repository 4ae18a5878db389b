"""The verdict: the emulated device's answers against the host's of the same file, and the float model's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepack import judge
from edgepack.emulator.arm.device import Run
from edgepack.recipe import FLOATS, Scheme
from edgepack.report import Check, Verdict
from edgepack.samples import Array, Sample

FLOAT_TOLERANCE: dict[Scheme, float] = {"fp32": 1e-4, "fp16": 2e-2}
"""Most relative error of float answers between host and device: sums are made in another order
(fp32 measured: 4e-7 to 2e-6)."""
COSINE = 0.97
"""Least cosine of quantized answers. Kernels differ by single codes between processors, and a deep net
carries them on until two runs are apart by as much as its int8 is from float: 15 dB of noise are a
cosine of 0.97 (measured on MobileNetV2 of 19 dB: 0.988, the same top answers)."""


@dataclass(frozen=True)
class Agreement:
    """How the answers of device and host differ, over all outputs of all samples."""

    relative: float
    """Largest difference of an output over its largest value."""
    cosine: float
    """Least cosine of an output."""
    tops: float | None
    """Share of samples, in percent, with the same top answer; None where there are no classes."""
    tops_float: float | None
    """The same, against the float model."""
    lsbs: float | None
    """Largest difference in steps of the values that an output takes; None of float files."""


def agreement(
    run: Run, here: tuple[Sample, ...], reference: tuple[Sample, ...], scheme: Scheme, *, classes: bool
) -> Agreement:
    """Compare a run with what the same file gave on the host, and with the float model's answers.

    Both may hold more samples than were run, which must be their first.
    """
    pairs = [(ours, theirs) for a, b in zip(run.outputs, here) for ours, theirs in zip(a, b, strict=True)]
    steps = None if scheme in FLOATS else max(_steps(ours, theirs) for ours, theirs in pairs)
    return Agreement(
        relative=max(relative(ours, theirs) for ours, theirs in pairs),
        cosine=min(judge.cosine(ours, theirs) for ours, theirs in pairs),
        tops=_same_tops(run.outputs, here) if classes else None,
        tops_float=_same_tops(run.outputs, reference) if classes else None,
        lsbs=steps,
    )


def relative(ours: Array, theirs: Array) -> float:
    """Largest difference over the largest value; infinity where one is not finite and the other is."""
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    if np.array_equal(a, b, equal_nan=True) or not a.size:
        return 0.0
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), np.finfo(np.float32).tiny))


def _steps(ours: Array, theirs: Array) -> float:
    """The difference in steps of the quantized output: the least distance between values it takes."""
    values = np.unique(np.concatenate([ours.ravel(), theirs.ravel()]).astype(np.float64))
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-6 * max(1e-30, np.abs(values).max())]
    if not gaps.size:
        return 0.0
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max() / gaps.min())


def _same_tops(outputs: tuple[Sample, ...], others: tuple[Sample, ...]) -> float:
    first = len(outputs)
    return float(100 * np.mean(judge.tops(outputs) == judge.tops(others[:first])))


def checks(run: Run, found: Agreement, scheme: Scheme) -> tuple[Check, ...]:
    """What must hold of a run on the emulated device; names begin with "device"."""
    if not all(np.isfinite(each.astype(np.float64)).all() for row in run.outputs for each in row):
        return (Check("device runs", "fail", None, None, "", "the file answers NaN or infinity there"),)
    runs = Check("device runs", "pass", None, None, "", f"{run.runtime} on {run.about}, emulated")
    if scheme in FLOATS:
        limit = FLOAT_TOLERANCE[scheme]
        within = found.relative <= limit
        return runs, Check("device agrees", _verdict(within), found.relative, limit, "relative error")
    told = [] if found.tops is None else [f"same top answer of {found.tops:.1f} % of samples"]
    told += [] if found.lsbs is None else [f"largest difference {found.lsbs:.0f} LSB"]
    return runs, Check(
        "device agrees", _verdict(found.cosine >= COSINE), found.cosine, COSINE, "cosine", ", ".join(told)
    )


def _verdict(holds: bool) -> Verdict:
    return "pass" if holds else "fail"
