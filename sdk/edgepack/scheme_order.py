"""The order in which a search tries schemes, by what does a model's work.

Linear layers lose little by dynamic int8 and need no calibrated ranges, which attention, layer normalization
and GELU often break: where they do most of the work, dynamic schemes come first. Where operators do it that a
runtime takes longer for in a scheme than in float, the scheme is not tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from torch.fx import GraphModule

from edgepack.compress.counts import layer_costs
from edgepack.formats import operator_kinds
from edgepack.formats.capability import Capabilities, OperatorKind
from edgepack.graph import layers as graphs
from edgepack.model.source import Source
from edgepack.recipe import Step
from edgepack.report import Omission
from edgepack.scheme import SCHEMES

_MOST = 0.5
"""Share of the multiply-adds in layers from which operators count as doing most of the work."""


def work_by_kind(source: Source) -> Mapping[OperatorKind, int]:
    """The multiply-adds of the source's layers, by kind."""
    graph = source.exported.module()
    assert isinstance(graph, GraphModule)
    costs = layer_costs(source)
    work: Counter[OperatorKind] = Counter()
    for path, layer in graphs.layers(graph).items():
        if kind := operator_kinds.kind_of(graph, layer):
            work[kind] += costs[path].multiply_adds
    return work


def ordered(
    steps: Sequence[Step], capabilities: Capabilities, work: Mapping[OperatorKind, int]
) -> tuple[Step, ...]:
    """The steps of a format that are worth a trial, in the order in which they are tried."""
    kept = [step for step in steps if not _slower(step, capabilities, work)]
    if _share(work, ["linear"]) < _MOST:
        return tuple(kept)
    return tuple(sorted(kept, key=lambda step: not SCHEMES[step.scheme].has_dynamic_activations))


def left_out(
    steps: Sequence[Step], capabilities: Capabilities, work: Mapping[OperatorKind, int]
) -> tuple[Omission, ...]:
    """The steps that are not worth a trial, with the reason."""
    reasons = {step: _slower(step, capabilities, work) for step in steps}
    return tuple(Omission(f"{step.format} {step.scheme}", why) for step, why in reasons.items() if why)


def _slower(step: Step, capabilities: Capabilities, work: Mapping[OperatorKind, int]) -> str:
    """Why the runtime takes longer for a model in a step's scheme than in float; empty where it does not."""
    slower = capabilities.by_name[step.scheme].slower
    share = _share(work, slower)
    if not share or share < _MOST:
        return ""
    reason = next(why for kind, why in slower.items() if work.get(kind, 0))
    return f"{reason}, and they do {100 * share:.0f} % of the multiply-adds"


def _share(work: Mapping[OperatorKind, int], kinds: Iterable[OperatorKind]) -> float:
    """The share, 0..1, of the multiply-adds that some kinds of operators do."""
    return sum(work.get(kind, 0) for kind in kinds) / max(1, sum(work.values()))
