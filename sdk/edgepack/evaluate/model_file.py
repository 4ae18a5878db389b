"""What an evaluation takes and returns: a written file, the reference it is compared with, the result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.contract.outputs.judge import Judged
from edgepack.delegation import Delegation
from edgepack.report import Check, Figures
from edgepack.scheme import SchemeName


@dataclass(frozen=True)
class ModelFile:
    """A written model file or package, and what its exporter said of it."""

    path: Path
    format: str
    scheme: SchemeName
    activation: str = "none"
    """The activation that the file itself applies to its first output."""
    is_timed: bool = True
    """Its speed on this host says something about the runtime that it is written for."""
    delegation: Delegation | None = None
    """What delegates take of it; None where the format has none."""
    float_file: Path | None = None
    """The float file of the same format, which time and instructions are compared with."""


@dataclass(frozen=True)
class Reference:
    """The float model's outputs on the evaluation samples."""

    inputs: tuple[Sample, ...]
    outputs: tuple[Sample, ...]
    contract: Contract
    judged: tuple[Judged, ...]
    """How each output is judged."""
    truth: tuple[Sample, ...] | None = None
    """The samples' labels, if there are any."""

    def for_file(self, file: ModelFile) -> Reference:
        """What `file` should give: after the activation that it applies itself to the first output."""
        if file.activation == "none":
            return self
        first = self.contract.outputs[0].model_copy(update={"activation": "none"})
        outputs = metrics.activated(self.outputs, file.activation)
        return replace(self, outputs=outputs, contract=self.contract.with_output(first))


@dataclass(frozen=True)
class Evaluation:
    """Metrics, checks and remarks of one file."""

    figures: Figures = field(default_factory=Figures)
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    delegation: Delegation | None = None
    outputs: tuple[Sample, ...] | None = None
    """What the file gave on this host; None where it did not run."""

    def with_checks(self, *checks: Check) -> Evaluation:
        """The same with more checks."""
        return replace(self, checks=(*self.checks, *checks))
