"""Tensor: values without a declared meaning. Judged by SQNR."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind

TENSOR = OutputKind("tensor")
