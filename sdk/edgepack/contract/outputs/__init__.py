"""Kinds of output, one module each: validation, and the metrics of a model file."""

from __future__ import annotations

from edgepack.contract.outputs.kind import Metric, OutputKind, TaskMetrics
from edgepack.contract.outputs.kinds import JUDGED, KINDS
from edgepack.contract.outputs.output import Output

__all__ = ["JUDGED", "KINDS", "Metric", "Output", "OutputKind", "TaskMetrics"]
