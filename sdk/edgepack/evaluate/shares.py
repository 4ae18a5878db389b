"""How two runs of one file agree, in the metric of each output's kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgepack.arrays import Sample
from edgepack.contract.outputs.compare import Comparison, compare
from edgepack.evaluate.model_file import Reference
from edgepack.report import Check

_POINTS = 5.0
"""Percentage points by which the metric of an output's kind may be less than wanted: as many decisions, of
many, may fall on the other side of a tie."""


@dataclass(frozen=True)
class Shared:
    """How an output agrees in the metric of its kind."""

    output: str
    """Its name, where there are several outputs."""
    metric: str
    value: float
    """In percent."""
    tolerance: float
    """Percentage points that it may be less: one decision of all, or a share of many."""

    def holds(self, wanted: float) -> bool:
        """Whether it agrees as well as `wanted`, within the tolerance."""
        return wanted - self.value < self.tolerance

    def __str__(self) -> str:
        name = f" of output '{self.output}'" if self.output else ""
        if self.metric == "agreement":
            return f"same top-1 class{name} for {self.value:.1f} % of samples"
        return f"{self.metric}{name} {self.value:.1f} %"


def of(outputs: tuple[Sample, ...], others: tuple[Sample, ...], reference: Reference) -> tuple[Shared, ...]:
    """The agreement of `outputs` with `others` in each output whose kind has a metric.

    `reference` says how outputs are judged.
    """
    compared = compare(reference.contract.outputs, reference.judged, outputs, others, None)
    several = len(compared) > 1
    return tuple(
        _shared(each, others, each.judged.name if several else "")
        for each in compared
        if each.task.agreement is not None
    )


def _shared(compared: Comparison, others: tuple[Sample, ...], name: str) -> Shared:
    kind, value = compared.judged.kind, compared.task.agreement
    assert kind.metric is not None
    assert value is not None
    of_sample = 1 if kind.counts_samples else max(1, others[0][compared.judged.places[0]].size)
    tolerance = max(_POINTS, 150 / (len(others) * of_sample))
    return Shared(name, kind.metric.name, value, tolerance)


def missed(check: Check, found: tuple[Shared, ...], wanted: float = 100) -> Check | None:
    """`check` as one that fails by the first metric that is less than `wanted`; None where none is."""
    first = next((each for each in found if not each.holds(wanted)), None)
    if first is None:
        return None
    limit = wanted - first.tolerance
    return replace(check, verdict="fail", figure=first.value, limit=limit, unit="%", reason=str(first))
