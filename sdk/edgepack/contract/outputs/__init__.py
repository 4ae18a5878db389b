"""Kinds of output, one module each: validation, and the metrics of a model file."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind, TaskMetrics
from edgepack.contract.outputs.kinds import KINDS
from edgepack.contract.outputs.output import Output

__all__ = ["KINDS", "Output", "OutputKind", "TaskMetrics"]
