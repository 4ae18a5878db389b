"""Checks of a file that ran on the host: its metrics against the goal and the target's budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract.outputs import JUDGED, Metric
from edgepack.contract.outputs.compare import Comparison, compare
from edgepack.delegation import Delegation
from edgepack.emulator.job import Death
from edgepack.evaluate import shares
from edgepack.evaluate.host import Run
from edgepack.evaluate.model_file import Reference
from edgepack.options import CompressionOptions
from edgepack.report import Check, Figures, Measure, OutputFigures
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


def figures(run: Run, reference: Reference) -> Figures:
    """A run's outputs compared with the float model's, with its time and memory."""
    return replace(
        output_metrics(run.outputs, reference),
        latency_ratio=run.latency_ratio,
        latency_spread=run.latency_spread,
        load_seconds=run.load_seconds,
        memory_mb=run.memory_mb,
    )


def output_metrics(outputs: tuple[Sample, ...], reference: Reference) -> Figures:
    """The metrics of outputs against the float model's."""
    compared = compare(
        reference.contract.outputs, reference.judged, outputs, reference.outputs, reference.truth
    )
    found = tuple(_output_figures(each) for each in compared)
    labelled = next((each for each in found if each.accuracy is not None), None)
    return Figures(
        agreement=_lowest(each.metric.value for each in found if each.metric),
        accuracy_float=labelled.accuracy_float if labelled else None,
        accuracy=labelled.accuracy if labelled else None,
        sqnr_db=_lowest(each.sqnr_db for each in found),
        exact=all(each.exact for each in found),
        scored=any(each.scored for each in found),
        outputs=found,
    )


def _lowest(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _output_figures(compared: Comparison) -> OutputFigures:
    kind, task = compared.judged.kind, compared.task
    return OutputFigures(
        name=compared.judged.name,
        kind=kind.name,
        metric=_measure(kind.metric, task.agreement) if kind.metric else None,
        more=tuple(_measure(each, task.more[each.name]) for each in kind.more if each.name in task.more),
        task=kind.task,
        accuracy_float=task.accuracy_float,
        accuracy=task.accuracy,
        sqnr_db=compared.sqnr_db,
        exact=compared.exact,
        scored=compared.has_values,
        reason=task.reason,
    )


def _measure(metric: Metric, value: float | None) -> Measure:
    return Measure(metric.name, value, metric.unit, metric.limit, metric.bound, metric.title)


def died(death: Death) -> tuple[Check, ...]:
    """The check of a file whose runtime crashed, hung or was killed."""
    return failed_to_run(death.reason)


def failed_to_run(reason: str) -> tuple[Check, ...]:
    """The check of a file that gave no outputs to compare."""
    return (Check("runs", "fail", None, None, "", reason),)


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
    reference: Reference
    """How outputs are judged."""

    def checks(self, run: Run, figures: Figures, scheme: SchemeName) -> tuple[Check, ...]:
        """The outputs against those of the build."""
        del figures
        return Check("runs", "pass", None, None, ""), repeats(run, self.outputs, scheme, self.reference)


def evaluated(checks: tuple[Check, ...], reason: str) -> tuple[Check, ...]:
    """Checks of a file that an evaluator ran in the place of its runtime, which `reason` names.

    The evaluator's memory says nothing about the runtime's: that check is left out.
    """
    ran = Check("runs", "evaluated", None, None, "", reason)
    kept = [check for check in checks if check.name != "memory"]
    return tuple(ran if check.name == "runs" and check.verdict == "pass" else check for check in kept)


_METRICS = (metric for kind in JUDGED.values() for metric in (kind.metric, *kind.more) if metric)
QUALITY = frozenset({"runs", "drop", "sqnr", "device runs", "device agrees", "device agrees with float"}) | {
    metric.name for metric in _METRICS
}
"""Names of the checks of quality; the others are of cost."""


def quality(
    found: Figures, budget: Budget, goal: CompressionOptions, scheme: SchemeName, *, pruned: bool = False
) -> list[Check]:
    """The checks of quality, output by output; `pruned`: the float weights are not the model's own."""
    least_db = FLOAT_SQNR_DB[scheme] if SCHEMES[scheme].is_float and not pruned else budget.min_sqnr_db
    outputs = found.by_output
    labelled = any(each.accuracy is not None for each in outputs)
    made: list[Check] = []
    for output in outputs:
        of_output = [*_metric(output, budget, goal), *_further(output)]
        if goal.max_drop is not None and (output.accuracy is not None or not labelled):
            of_output += _drop(output, goal.max_drop)
        of_output += _sqnr(output, least_db)
        name = output.name if len(outputs) > 1 else ""
        made += [replace(check, output=name) for check in of_output]
    return made


def _metric(output: OutputFigures, budget: Budget, goal: CompressionOptions) -> list[Check]:
    """The kind's own metric against the goal given by hand, the kind's limit, or the target's budget."""
    measured = output.metric
    if measured is None:
        return []
    least = measured.limit
    if least is None or "min_agreement" in goal.given:
        least = budget.min_agreement if goal.min_agreement is None else goal.min_agreement
    if measured.value is None:
        return [Check(measured.name, "skipped", None, least, measured.unit, output.reason)]
    return [_least(measured.name, measured.value, least, measured.unit)]


def _further(output: OutputFigures) -> list[Check]:
    """The kind's further metrics that have a limit and a value."""
    return [
        (_least if each.bound == "least" else _most)(each.name, each.value, each.limit, each.unit)
        for each in output.more
        if each.limit is not None and each.value is not None
    ]


def _drop(output: OutputFigures, most: float) -> list[Check]:
    """The loss of the task's metric; without labels the disagreement with float, which bounds it."""
    if output.accuracy is not None and output.accuracy_float is not None:
        return [_most("drop", output.accuracy_float - output.accuracy, most, "points")]
    if output.metric is None or output.metric.value is None:
        return []
    bound = _most("drop", 100 - output.metric.value, most, "points")
    return [replace(bound, reason="no labels: bounded by the disagreement with float")]


def _sqnr(output: OutputFigures, least: float) -> list[Check]:
    if output.sqnr_db is not None:
        return [_least("sqnr", output.sqnr_db, least, "dB")]
    if output.scored and not output.exact:
        return [Check("sqnr", "fail", None, least, "dB", "the float model gives only zeros")]
    return []


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


def repeats(run: Run, golden: tuple[Sample, ...], scheme: SchemeName, reference: Reference) -> Check:
    """A run against the outputs of the same file when it was built: by the lowest cosine of any output, and
    by the metric of each output's kind, in which one decision may differ."""
    if not golden:
        return Check("repeats", "skipped", None, None, "", "it could not be run where it was built")
    least = min(
        (
            metrics.cosine(ours, theirs)
            for a, b in zip(run.outputs, golden, strict=True)
            for ours, theirs in zip(a, b)
            if theirs.dtype.kind not in "iub" or theirs.size == 1  # a class repeats in every sample
        ),
        default=1.0,
    )
    check = _least("repeats", least, REPEATS[scheme], "cosine")
    missed = shares.missed(check, shares.of(run.outputs, golden, reference))
    return missed if missed and check.verdict == "pass" else check
