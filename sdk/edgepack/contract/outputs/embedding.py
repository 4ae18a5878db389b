"""Embedding: a vector that represents the input. Judged by SQNR."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind

EMBEDDING = OutputKind("embedding")
