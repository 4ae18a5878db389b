"""Kinds of output, one module each: validation, and the metrics by which a model file is judged."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind, TaskMetrics
from edgepack.contract.outputs.kinds import KINDS
from edgepack.contract.outputs.output import Output

__all__ = ["KINDS", "Output", "OutputKind", "TaskMetrics"]
