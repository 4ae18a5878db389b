"""Checks of a file that ran on the host: its metrics against the goal and the target's budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.contract.outputs.compare import compare
from edgepack.delegation import Delegation
from edgepack.emulator.job import Death
from edgepack.evaluate.host import Run
from edgepack.options import CompressionOptions
from edgepack.report import Check, Figures
from edgepack.scheme import SCHEMES, Scheme, SchemeName
from edgepack.target import Budget

FLOAT_SQNR_DB: dict[SchemeName, float] = {"fp32": 60.0, "fp16": 30.0}
"""Lowest SQNR of a float file. Rounding alone stays above it: fp32 gives about 120 dB, a network computed
in fp16 40 to 60."""


def _lowest_cosine(scheme: Scheme) -> float:
    if scheme.weights == "integer":
        return 0.99
    return 0.9999 if scheme.is_float and not scheme.is_half else 0.999


REPEATS: dict[SchemeName, float] = {name: _lowest_cosine(scheme) for name, scheme in SCHEMES.items()}
"""Lowest cosine between the outputs of a file when it was built and on another machine: int8 kernels
differ by single codes between processors, float kernels by the order of their sums."""


def figures(
    run: Run, reference: tuple[Sample, ...], labels: tuple[int, ...] | None, contract: Contract
) -> Figures:
    """A run's outputs compared with the float model's, with its time and memory."""
    return replace(
        output_metrics(run.outputs, reference, labels, contract),
        latency_ratio=run.latency_ratio,
        latency_spread=run.latency_spread,
        load_seconds=run.load_seconds,
        memory_mb=run.memory_mb,
    )


def output_metrics(
    outputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    labels: tuple[int, ...] | None,
    contract: Contract,
) -> Figures:
    """The metrics of outputs against the float model's."""
    found = compare(contract.outputs, outputs, reference, labels)
    return Figures(
        agreement=found.task.agreement,
        accuracy_float=found.task.accuracy_float,
        accuracy=found.task.accuracy,
        sqnr_db=found.sqnr_db,
        exact=found.exact,
        scored=found.has_values,
    )


def died(death: Death) -> tuple[Check, ...]:
    """The check of a file whose runtime crashed, hung or was killed."""
    return (Check("runs", "fail", None, None, "", death.reason),)


def cannot_run(reason: str) -> tuple[Check, ...]:
    """The check of a file that this host has no runtime for."""
    return (Check("runs", "skipped", None, None, "", reason),)


def checks(
    run: Run,
    found: Figures,
    budget: Budget,
    goal: CompressionOptions,
    scheme: SchemeName,
    *,
    pruned: bool = False,
) -> tuple[Check, ...]:
    """A run's metrics against the goal and the target's budget."""
    if not metrics.is_finite(run.outputs):
        return (Check("runs", "fail", None, None, "", "the file returns NaN or infinity"),)
    made = [Check("runs", "pass", None, None, ""), *quality(found, budget, goal, scheme, pruned=pruned)]
    if found.memory_mb is None:
        reason = "this system does not report the peak memory of a process"
        made.append(Check("memory", "skipped", None, budget.memory_mb, "MB", reason))
    else:
        made.append(_most("memory", found.memory_mb, budget.memory_mb, "MB"))
    return tuple(made)


class Expectation(Protocol):
    """What a file that ran is expected to reach."""

    def checks(self, run: Run, figures: Figures, scheme: SchemeName) -> tuple[Check, ...]:
        """The checks of a run whose metrics are `figures`."""
        ...


@dataclass(frozen=True)
class Limits:
    """What a build expects: the target's budget and the goal of compression."""

    budget: Budget
    goal: CompressionOptions
    pruned: bool = False
    """The float weights are not the model's own, so that no float file can equal it."""

    def checks(self, run: Run, figures: Figures, scheme: SchemeName) -> tuple[Check, ...]:
        """The metrics against the limits."""
        return checks(run, figures, self.budget, self.goal, scheme, pruned=self.pruned)


@dataclass(frozen=True)
class Recorded:
    """What a check expects: the outputs that the same file gave when it was built."""

    outputs: tuple[Sample, ...]
    """Empty where it could not be run there."""

    def checks(self, run: Run, figures: Figures, scheme: SchemeName) -> tuple[Check, ...]:
        """The outputs against those of the build."""
        del figures
        return Check("runs", "pass", None, None, ""), repeats(run, self.outputs, scheme)


def evaluated(checks: tuple[Check, ...], reason: str) -> tuple[Check, ...]:
    """Checks of a file that an evaluator ran in the place of its runtime, which `reason` names.

    The evaluator's memory says nothing about the runtime's: that check is left out.
    """
    ran = Check("runs", "evaluated", None, None, "", reason)
    kept = [check for check in checks if check.name != "memory"]
    return tuple(ran if check.name == "runs" and check.verdict == "pass" else check for check in kept)


QUALITY = frozenset(
    {"runs", "agreement", "drop", "sqnr", "device runs", "device agrees", "device agrees with float"}
)
"""Names of the checks of quality; the others are of cost."""


def quality(
    found: Figures, budget: Budget, goal: CompressionOptions, scheme: SchemeName, *, pruned: bool = False
) -> list[Check]:
    """The checks of quality; `pruned`: the float weights are not the model's own."""
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
        made.append(Check("sqnr", "fail", None, limit, "dB", "the float model gives only zeros"))
    return made


def _drop(found: Figures, most: float) -> list[Check]:
    """The loss of accuracy; without labels the disagreement with float, which bounds it."""
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
    """The share of a program that delegates take, in percent, against the target's minimum."""
    share, unit = found.share
    check = _least("delegated", share, least, unit)
    return check if check.verdict == "pass" else replace(check, reason=f"outside: {found.left}")


def _least(name: str, figure: float, limit: float, unit: str) -> Check:
    return Check(name, "pass" if figure >= limit else "fail", figure, limit, unit)


def _most(name: str, figure: float, limit: float, unit: str) -> Check:
    return Check(name, "pass" if figure <= limit else "fail", figure, limit, unit)


def repeats(run: Run, golden: tuple[Sample, ...], scheme: SchemeName) -> Check:
    """A run against the outputs of the same file when it was built, by the lowest cosine of any output."""
    if not golden:
        return Check("repeats", "skipped", None, None, "", "it could not be run where it was built")
    least = min(
        metrics.cosine(ours, theirs)
        for a, b in zip(run.outputs, golden, strict=True)
        for ours, theirs in zip(a, b)
    )
    return _least("repeats", least, REPEATS[scheme], "cosine")
