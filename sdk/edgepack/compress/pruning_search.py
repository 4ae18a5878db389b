"""Shrinking: a source becomes a smaller one, pruned and taught again what it lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgepack.compress import pruning as prune
from edgepack.compress import qat
from edgepack.compress.qat import Lessons
from edgepack.errors import PlanError, SourceError
from edgepack.model.source import Source, recaptured, run
from edgepack.options import CompressionOptions, Pruning
from edgepack.report import Pruned

_RATIOS = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the channels that are tried for `auto`, largest first."""


@dataclass(frozen=True)
class Shrunk:
    """A smaller source, and what was done to it."""

    source: Source
    told: Pruned
    notes: tuple[str, ...]
    by_hand: bool
    """The share was given, not looked for: it stays even where the goal is missed."""


def shrink(
    source: Source, pruning: Pruning, goal: CompressionOptions, lessons: Lessons, say: Callable[[str], None]
) -> Shrunk | None:
    """The source pruned and recovered; None where `auto` finds no share that meets the goal.

    The first share that stays within the goal after recovery, judged in torch on the evaluation
    samples, is taken. Raises PlanError where a whole layer would go, SourceError where the model cannot
    be pruned, ExportError where torch-pruning is not installed.
    """
    if pruning.ratio is not None:
        return _shrunk(source, pruning, pruning.ratio, lessons, say, by_hand=True)
    if source.contract.classes is None:
        raise PlanError("--prune auto is judged by classes, and this model has none: give a share")
    for ratio in _RATIOS:
        try:
            found = _shrunk(source, pruning, ratio, lessons, say, by_hand=False)
        except PlanError:  # this share would take a whole layer; a smaller one may not
            continue
        if _meets(found, goal, source):
            return found
        say(f"pruned by {ratio:g}: agreement {found.told.agreement:.1f} % misses the goal")
    return None


def _shrunk(
    source: Source,
    pruning: Pruning,
    ratio: float,
    lessons: Lessons,
    say: Callable[[str], None],
    *,
    by_hand: bool,
) -> Shrunk:
    say(f"prune {replace(pruning, ratio=ratio)}")
    module = source.module
    if module is None:
        raise SourceError("this source keeps no module to prune")
    if pruning.kind == "channels":
        found = prune.structured(module, source.example, ratio)
    elif pruning.kind == "weights":
        found = prune.unstructured(module, source.example, ratio)
    else:
        found = prune.n_of_m(module, source.example)
    unrecovered = _agreement(found.module, source)
    told = Pruned(
        what=str(replace(pruning, ratio=ratio)),
        before=found.before,
        after=found.after,
        channels=found.kept,
        agreement=unrecovered,
        agreement_unrecovered=unrecovered,
    )
    smaller = found.module
    notes: tuple[str, ...] = ()
    if lessons.wanted:
        say(f"recover what pruning lost, {lessons}")
        learnt = qat.learn(smaller, source, lessons)
        smaller, notes = learnt.module, learnt.notes
        told = replace(
            told,
            recovery_steps=learnt.steps,
            recovery_seconds=learnt.seconds,
            agreement=_agreement(smaller, source),
        )
    return Shrunk(recaptured(source, smaller), told, notes, by_hand)


def _agreement(module: object, source: Source) -> float | None:
    """Percent of the evaluation samples on which the top answers agree; None without classes."""
    if source.contract.classes is None:
        return None
    tops = [int(np.argmax(run(module, sample)[0])) for sample in source.evaluation.inputs]  # type: ignore[arg-type]
    there = [int(np.argmax(each[0])) for each in source.reference]
    return float(np.mean(np.asarray(tops) == np.asarray(there)) * 100)


def _meets(found: Shrunk, goal: CompressionOptions, source: Source) -> bool:
    """Whether the pruned float model stays within the goal, so that quantization can follow."""
    agreement = found.told.agreement or 0.0
    within = goal.min_agreement is None or agreement >= goal.min_agreement
    return within and (goal.max_drop is None or _drop(found, source, agreement) <= goal.max_drop)


def _drop(found: Shrunk, source: Source, agreement: float) -> float:
    """Points of accuracy lost; without labels, the disagreement, which it cannot exceed."""
    labels = source.evaluation.labels
    if labels is None or found.source.module is None:
        return 100 - agreement
    tops = [int(np.argmax(run(found.source.module, sample)[0])) for sample in source.evaluation.inputs]
    there = [int(np.argmax(each[0])) for each in source.reference]
    return float(np.mean(np.asarray(there) == labels) - np.mean(np.asarray(tops) == labels)) * 100
