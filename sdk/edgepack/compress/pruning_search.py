"""Prune a source by a given ratio, or by the largest one that meets the goal, and fine-tune it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from edgepack import metrics
from edgepack.arrays import Array
from edgepack.compress import distillation, pruning
from edgepack.compress.distillation import TrainingBudget
from edgepack.compress.pruning import PrunedModule
from edgepack.errors import PlanError, SourceError
from edgepack.model.inference import run
from edgepack.model.source import Source, recaptured
from edgepack.options import CompressionOptions, Pruning
from edgepack.report import Pruned

_RATIOS = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Pruning ratios that `auto` tries, the largest first."""


@dataclass(frozen=True)
class PrunedSource:
    """A pruned source, with its rows of the report."""

    source: Source
    report: Pruned
    notes: tuple[str, ...]
    by_hand: bool
    """The user gave the ratio: the source is used even if it misses the goal."""


def prune(
    source: Source,
    wanted: Pruning,
    goal: CompressionOptions,
    budget: TrainingBudget,
    say: Callable[[str], None],
) -> PrunedSource | None:
    """The source pruned and fine-tuned; None if no ratio of `auto` meets the goal.

    `auto` uses the largest ratio with which the fine-tuned torch module meets the goal on the evaluation
    samples. `say` is called with a line for each step. Raises PlanError if a whole layer would be removed,
    SourceError if the model cannot be pruned, and ExportError if torch-pruning is not installed.
    """
    if wanted.ratio is not None:
        return _prune(source, wanted, wanted.ratio, budget, say, by_hand=True)
    if source.contract.classes is None:
        raise PlanError("--prune auto is judged by classes, and this model has none: give a ratio")
    for ratio in _RATIOS:
        try:
            candidate = _prune(source, wanted, ratio, budget, say, by_hand=False)
        except PlanError:  # this ratio would remove a whole layer; a smaller one may not
            continue
        if _meets(candidate, goal, source):
            return candidate
        say(f"pruned by {ratio:g}: agreement {candidate.report.agreement:.1f} % misses the goal")
    return None


def _prune(
    source: Source,
    wanted: Pruning,
    ratio: float,
    budget: TrainingBudget,
    say: Callable[[str], None],
    *,
    by_hand: bool,
) -> PrunedSource:
    description = str(replace(wanted, ratio=ratio))
    say(f"prune {description}")
    pruned = _pruned_module(source, wanted, ratio)
    agreement = _agreement(pruned.module, source)
    report = Pruned(
        what=description,
        before=pruned.before,
        after=pruned.after,
        channels=pruned.channels,
        agreement=agreement,
        agreement_unrecovered=agreement,
    )
    if not budget.is_given:
        return PrunedSource(recaptured(source, pruned.module), report, (), by_hand)
    say(f"fine-tune the pruned model, {budget}")
    tuned = distillation.fine_tune(pruned.module, source, budget)
    report = replace(
        report,
        recovery_steps=tuned.steps,
        recovery_seconds=tuned.seconds,
        agreement=_agreement(tuned.module, source),
    )
    return PrunedSource(recaptured(source, tuned.module), report, tuned.notes, by_hand)


def _pruned_module(source: Source, wanted: Pruning, ratio: float) -> PrunedModule:
    if source.module is None:
        raise SourceError("this source has no torch module to prune")
    if wanted.kind == "channels":
        return pruning.structured(source.module, source.example, ratio)
    if wanted.kind == "weights":
        return pruning.unstructured(source.module, source.example, ratio)
    return pruning.n_of_m(source.module, source.example)


def _classes(module: nn.Module, source: Source) -> Array:
    """The class that a module predicts for each evaluation sample, int64 [samples]."""
    return metrics.top1(run(module, sample) for sample in source.evaluation.inputs)


def _agreement(module: nn.Module, source: Source) -> float | None:
    """Percentage of evaluation samples with the reference's class; None without classes."""
    if source.contract.classes is None:
        return None
    return metrics.agreement(_classes(module, source), metrics.top1(source.reference))


def _meets(candidate: PrunedSource, goal: CompressionOptions, source: Source) -> bool:
    """Whether the pruned float model meets the goal, so that quantization can follow."""
    agreement = candidate.report.agreement or 0.0
    within = goal.min_agreement is None or agreement >= goal.min_agreement
    return within and (goal.max_drop is None or _drop(candidate, source, agreement) <= goal.max_drop)


def _drop(candidate: PrunedSource, source: Source, agreement: float) -> float:
    """Accuracy lost, in percentage points; without labels the disagreement, which is an upper bound."""
    labels = source.evaluation.labels
    if labels is None or candidate.source.module is None:
        return 100 - agreement
    before = metrics.agreement(metrics.top1(source.reference), np.asarray(labels))
    return before - metrics.agreement(_classes(candidate.source.module, source), np.asarray(labels))
