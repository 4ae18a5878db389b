"""Activation ranges for the formats that write their own int8 graph."""

from __future__ import annotations

import torch

from edgepack.errors import ExportError
from edgepack.graph import layers as graphs
from edgepack.graph import ranges
from edgepack.graph.ranges import Range
from edgepack.model.source import Source


class Ranges:
    """Ranges of the tensors of a source's graph, by node name.

    A range is the source's own, or that of the tensor whose values a node passes on, or a constant's,
    or else what the calibration samples show, least to greatest.
    """

    def __init__(self, source: Source, format_name: str) -> None:
        self._source = source
        self._format = format_name
        self._graph = source.exported.module()
        self._nodes = {node.name: node for node in self._graph.graph.nodes}
        self._observed: dict[str, Range] = {}

    def of(self, name: str) -> Range:
        """Raises ExportError where it would have to be measured and there are no samples."""
        known = {**self._observed, **self._source.ranges}
        for node in graphs.value_chain(self._nodes[name]):
            if node.name in known:
                return known[node.name]
            if node.op == "get_attr":
                low, high = torch.aminmax(graphs.constant(self._graph, node))
                return float(low), float(high)
        self._observe()
        return self._observed[name]

    def _observe(self) -> None:
        """Measure all tensors that have no range."""
        calib, given = self._source.calib, self._source.ranges
        if calib is None:
            raise ExportError(f"{self._format} w8a8 needs calibration samples (--calib)")
        with torch.no_grad():
            seen = ranges.observe(self._graph, calib, lambda node: node.name not in given)
        self._observed = {name: ranges.min_max(each) for name, each in seen.items()}
