"""Segmentation: scores [1, classes, H, W]. Judged by SQNR."""

from __future__ import annotations

from edgepack.contract.outputs.kind import OutputKind

SEGMENTATION = OutputKind("segmentation", has_labels=True)
