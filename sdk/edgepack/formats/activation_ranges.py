"""Activation ranges for the formats that write their own int8 graph."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Node

from edgepack.errors import ExportError
from edgepack.graph import layers as graphs
from edgepack.graph import ranges
from edgepack.graph.layers import ATEN, CLAMPS, PASSES
from edgepack.graph.ranges import Range
from edgepack.model.source import Source

ELEMENTWISE = frozenset({ATEN.add.Tensor, ATEN.add_.Tensor, ATEN.mul.Tensor, ATEN.mul_.Tensor})
"""Operators on two tensors for which there are integer kernels."""


def pads_zeros(node: Node) -> bool:
    """Whether a `pad` adds zeros, which every range holds."""
    return node.args[2:] in ((), ("constant",), ("constant", 0.0), ("constant", None))


def clamp_of(node: Node) -> Node | None:
    """The clamp that alone reads a node; None where there is none."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in CLAMPS else None


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
        for node in self._passed_on(self._nodes[name]):
            if node.name in known:
                return known[node.name]
            if node.op == "get_attr":
                low, high = torch.aminmax(graphs.constant(self._graph, node))
                return float(low), float(high)
        self._observe()
        return self._observed[name]

    def _passed_on(self, node: Node) -> Iterator[Node]:
        yield node
        while node.op == "call_function" and node.target in PASSES and isinstance(node.args[0], Node):
            node = node.args[0]
            yield node

    def _observe(self) -> None:
        """Measure all tensors that have no range."""
        calib, given = self._source.calib, self._source.ranges
        if calib is None:
            raise ExportError(f"{self._format} w8a8 needs calibration samples (--calib)")
        with torch.no_grad():
            seen = ranges.observe(self._graph, calib, lambda node: node.name not in given)
        self._observed = {name: ranges.min_max(each) for name, each in seen.items()}
