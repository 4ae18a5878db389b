"""The judge: a file's outputs on the host, held against the float model's and the target's budget."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgepack.contract import Contract
from edgepack.contract.samples import Array, Sample
from edgepack.delegation import Delegation
from edgepack.evaluate.host import Death, Run
from edgepack.options import Goal
from edgepack.report import Check, Figures
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.target import Budget

FLOAT_SQNR_DB: dict[SchemeName, float] = {"fp32": 60.0, "fp16": 30.0}
"""What a float file must reach: rounding alone leaves more than this (fp32 gives about 120 dB,
a whole network computed in fp16 40 to 60)."""

REPEATS: dict[SchemeName, float] = {
    **dict.fromkeys(SCHEMES, 0.999),
    "fp32": 0.9999,
    **dict.fromkeys(("w8a8", "w8d", "w8", "w4"), 0.99),
}
"""Least cosine between what a file gave when it was built and what it gives on another machine:
int8 kernels differ by single codes between processors, floats by the order of their sums."""


def figures(
    run: Run, reference: tuple[Sample, ...], labels: tuple[int, ...] | None, contract: Contract
) -> Figures:
    """Compare a run's outputs with the float model's, and tell what it cost."""
    return replace(
        answers(run.outputs, reference, labels, contract),
        latency_ratio=run.latency_ratio,
        latency_spread=run.latency_spread,
        load_seconds=run.load_seconds,
        memory_mb=run.memory_mb,
    )


def answers(
    outputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    labels: tuple[int, ...] | None,
    contract: Contract,
) -> Figures:
    """Compare outputs with the float model's."""
    classes, numbered = contract.classifies, contract.outputs[0].kind == "class"
    ours, theirs = (tops(each) if classes else None for each in (outputs, reference))
    noise, signal = _energies(outputs, reference, first=int(numbered))
    known = np.asarray(labels) if labels is not None and classes else None
    return Figures(
        agreement=_share(ours, theirs),
        accuracy_float=_share(theirs, known),
        accuracy=_share(ours, known),
        sqnr_db=_decibels(signal, noise),
        exact=noise == 0 and not (numbered and bool(np.any(ours != theirs))),
        scored=not numbered or len(contract.outputs) > 1,
    )


def tops(outputs: tuple[Sample, ...]) -> Array:
    """The class that each sample's first output tells."""
    return np.asarray([int(best(sample[0])[0]) for sample in outputs])


def best(values: Array) -> Array:
    """The number of the best class, [1]: of scores [1, classes], or the number itself, which is [1]."""
    return values.astype(np.int64) if values.ndim < 2 else np.argmax(values, axis=-1)


def _share(ours: Array | None, theirs: Array | None) -> float | None:
    if ours is None or theirs is None:
        return None
    return float(np.mean(ours == theirs) * 100)


def _energies(outputs: tuple[Sample, ...], reference: tuple[Sample, ...], first: int) -> tuple[float, float]:
    """Energy of the difference and of the reference, over all samples' outputs from the `first` on."""
    noise = signal = 0.0
    for ours, theirs in zip(outputs, reference, strict=True):
        for a, b in zip(ours[first:], theirs[first:], strict=True):
            there = b.astype(np.float64)
            noise += float(np.sum((a.astype(np.float64).reshape(b.shape) - there) ** 2))
            signal += float(np.sum(there**2))
    return noise, signal


def _decibels(signal: float, noise: float) -> float | None:
    if noise == 0 or signal == 0 or not math.isfinite(noise):
        return None
    return 10 * math.log10(signal / noise)


def activated(reference: tuple[Sample, ...], activation: str) -> tuple[Sample, ...]:
    """The float outputs as a file gives them that applies `activation` to its first output."""
    if activation == "none":
        return reference
    return tuple((_activate(sample[0], activation), *sample[1:]) for sample in reference)


def _activate(scores: Array, activation: str) -> Array:
    values = scores.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def cosine(ours: Array, theirs: Array) -> float:
    """Cosine of the angle between two outputs; 1 where both are zero. Of two whole numbers, such as a
    class's, which have no angle, 1 where they are the same, else 0."""
    if ours.size == 1 and ours.dtype.kind in "iu":
        return float(np.array_equal(ours.ravel(), theirs.ravel()))
    a, b = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / product if product else float(np.array_equal(a, b))


def died(death: Death) -> tuple[Check, ...]:
    """The verdict on a file whose runtime did not come to an end."""
    return (Check("runs", "fail", None, None, "", death.reason),)


def cannot_run(reason: str) -> tuple[Check, ...]:
    """The verdict on a file that this host has no runtime for."""
    return (Check("runs", "skipped", None, None, "", reason),)


def checks(
    run: Run, found: Figures, budget: Budget, goal: Goal, scheme: SchemeName, *, pruned: bool = False
) -> tuple[Check, ...]:
    """A run's figures against the goal and the target's budget."""
    finite = all(np.isfinite(each.astype(np.float64)).all() for row in run.outputs for each in row)
    if not finite:
        return (Check("runs", "fail", None, None, "", "the file answers NaN or infinity"),)
    made = [Check("runs", "pass", None, None, ""), *quality(found, budget, goal, scheme, pruned=pruned)]
    if found.memory_mb is None:
        reason = "this system does not tell a process's peak memory"
        made.append(Check("memory", "skipped", None, budget.memory_mb, "MB", reason))
    else:
        made.append(_most("memory", found.memory_mb, budget.memory_mb, "MB"))
    return tuple(made)


def evaluated(checks: tuple[Check, ...], reason: str) -> tuple[Check, ...]:
    """Checks of a file that an evaluator ran in the place of its runtime: it says nothing of memory."""
    (ran,) = cannot_run(reason)
    kept = [each for each in checks if each.name != "memory"]
    return tuple(ran if each.name == "runs" and each.verdict == "pass" else each for each in kept)


QUALITY = frozenset(
    {"runs", "agreement", "drop", "sqnr", "device runs", "device agrees", "device agrees with float"}
)
"""Names of the checks that tell how well a file answers, not what it costs."""


def quality(
    found: Figures, budget: Budget, goal: Goal, scheme: SchemeName, *, pruned: bool = False
) -> list[Check]:
    """How well a file answers, against the goal; `pruned`: its float weights are not the model's own."""
    made = []
    if found.agreement is not None:
        least = budget.min_agreement if goal.min_agreement is None else goal.min_agreement
        made.append(_least("agreement", found.agreement, least, "%"))
    if goal.max_drop is not None:
        made += _drop(found, goal.max_drop)
    limit = FLOAT_SQNR_DB[scheme] if SCHEMES[scheme].is_float and not pruned else budget.min_sqnr_db
    if found.sqnr_db is not None:
        made.append(_least("sqnr", found.sqnr_db, limit, "dB"))
    elif found.scored and not found.exact:
        made.append(Check("sqnr", "fail", None, limit, "dB", "the float model answers only zeros"))
    return made


def _drop(found: Figures, most: float) -> list[Check]:
    """The loss of accuracy; without labels, the disagreement, which it cannot exceed."""
    if found.accuracy is not None and found.accuracy_float is not None:
        return [_most("drop", found.accuracy_float - found.accuracy, most, "points")]
    if found.agreement is None:
        return []
    bound = _most("drop", 100 - found.agreement, most, "points")
    return [replace(bound, reason="no labels: bounded by the disagreement with float")]


def size(megabytes: float, budget: Budget) -> Check:
    """A file's size against the budget."""
    return _most("size", megabytes, budget.size_mb, "MB")


def delegated(found: Delegation, least: float) -> Check:
    """What delegates were given of a program, in percent, against the target's least."""
    share, unit = found.share
    check = _least("delegated", share, least, unit)
    return check if check.verdict == "pass" else replace(check, reason=f"outside: {found.left}")


def _least(name: str, figure: float, limit: float, unit: str) -> Check:
    return Check(name, "pass" if figure >= limit else "fail", figure, limit, unit)


def _most(name: str, figure: float, limit: float, unit: str) -> Check:
    return Check(name, "pass" if figure <= limit else "fail", figure, limit, unit)


def repeats(run: Run, golden: tuple[Sample, ...], scheme: SchemeName) -> Check:
    """A run against what the same file gave when it was built, by the least cosine of any output."""
    if not golden:
        return Check("repeats", "skipped", None, None, "", "it could not be run where it was built")
    least = min(
        cosine(ours, theirs) for a, b in zip(run.outputs, golden, strict=True) for ours, theirs in zip(a, b)
    )
    return _least("repeats", least, REPEATS[scheme], "cosine")
