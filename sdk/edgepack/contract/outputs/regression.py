"""Regression: numbers, in `units`. Judged by SQNR."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind

REGRESSION = OutputKind("regression")
