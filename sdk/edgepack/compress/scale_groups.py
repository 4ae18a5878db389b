"""Scale groups: sets of channels that must be scaled alike, so that a graph's outputs stay the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Node

from edgepack.graph import layers as graphs
from edgepack.graph.layers import ADDS, ATEN, pads_zeros

Ids = NDArray[np.int64]
"""The group of each channel (dimension 1) of a tensor."""

_KEEPS_SCALE = frozenset(
    {ATEN.relu.default, ATEN.relu_.default, ATEN.leaky_relu.default, ATEN.leaky_relu_.default,
     ATEN.dropout.default, ATEN.max_pool2d.default, ATEN.avg_pool2d.default, ATEN.adaptive_avg_pool2d.default,
     ATEN.max_pool1d.default, ATEN.avg_pool1d.default, ATEN.adaptive_avg_pool1d.default,
     ATEN.contiguous.default}
)  # fmt: skip
"""Operators f with f(s * x) = s * f(x) for each channel and any scale s > 0."""
_RELU6 = frozenset({ATEN.relu6.default, ATEN.relu6_.default})
_HARDTANH = frozenset({ATEN.hardtanh.default, ATEN.hardtanh_.default})
_RANKS: Mapping[object, int] = {ATEN.conv1d.default: 3, ATEN.conv2d.default: 4, ATEN.linear.default: 2}
"""Dimensions of a layer's input that has its channels in dimension 1."""
FIXED = 0
"""The group of all channels that are never scaled."""


class ScaleGroups:
    """Sets of channels that must be scaled alike, over all tensors of a graph (a union-find structure)."""

    def __init__(self, graph: GraphModule, *, clamped: bool = False) -> None:
        """`clamped`: scales also pass clamps from 0 to a constant, which is exact below the constant."""
        self._clamped = clamped
        self._parent: list[int] = [FIXED]
        self.of: dict[Node, Ids] = {}
        """The first group of each channel of a tensor; `merged` has the groups after all unions."""
        shared = shared_constants(graph)
        for node in graph.graph.nodes:
            if node.op in ("placeholder", "call_function"):
                self._visit(node, bool(constants(node) & shared))
            elif node.op == "output":
                self._fix_inputs(node)

    def find(self, group: int) -> int:
        """The representative of the set that a group belongs to."""
        while self._parent[group] != group:
            self._parent[group] = self._parent[self._parent[group]]
            group = self._parent[group]
        return group

    def merged(self, node: Node) -> Ids:
        """The groups of a tensor's channels; equal numbers must be scaled alike."""
        return np.asarray([self.find(int(group)) for group in self.of[node]], np.int64)

    def _visit(self, node: Node, has_shared_constants: bool) -> None:
        """Assign groups to the channels of one node, whose inputs have theirs."""
        channels = _channels(node)
        if node.op == "placeholder" or has_shared_constants or channels == 0:
            self._fix(node, channels)
        elif graphs.is_layer(node) and is_plain(node):
            # a layer starts new groups: its weight can divide each output channel by a scale
            first = len(self._parent)
            self._parent.extend(range(first, first + channels))
            self.of[node] = np.arange(first, first + channels)
        elif (ids := self._passed_on(node, channels)) is not None:
            self.of[node] = ids
        else:
            self._fix(node, channels)

    def _fix(self, node: Node, channels: int) -> None:
        """Never scale the channels of a node, nor those that it reads."""
        self._fix_inputs(node)
        self.of[node] = np.full(channels, FIXED, np.int64)

    def _fix_inputs(self, node: Node) -> None:
        for tensor in node.all_input_nodes:
            for group in set(self.of.get(tensor, np.zeros(0, np.int64)).tolist()):
                self._unite(FIXED, group)

    def _passed_on(self, node: Node, channels: int) -> Ids | None:
        """The groups of an operator that passes the scales of its inputs on; None for all others."""
        tensors = [each for each in node.all_input_nodes if each in self.of]
        if not tensors or len(tensors) < len(node.all_input_nodes):
            return None
        ids = self.of[tensors[0]]
        if self._keeps_scale(node):
            return ids if len(ids) == channels else None
        if node.target is ATEN.flatten.using_ints and node.args[1:2] == (1,):
            return np.repeat(ids, channels // max(1, len(ids)))
        if node.target is ATEN.cat.default and node.args[1:2] == (1,):
            return self._concatenated(node)
        if node.target in ADDS and len(tensors) == 2 and _shape(tensors[0]) == _shape(tensors[1]):
            # both summands must have the scale of the sum
            for a, b in zip(ids, self.of[tensors[1]]):
                self._unite(int(a), int(b))
            return ids
        return None

    def _keeps_scale(self, node: Node) -> bool:
        is_low_clamp = self._clamped and ceiling(node) > 0
        return node.target in _KEEPS_SCALE or is_low_clamp or pads_zeros(node) or _is_spatial_mean(node)

    def _concatenated(self, node: Node) -> Ids:
        parts = node.args[0]
        assert isinstance(parts, (list, tuple))
        return np.concatenate([self.of[part] for part in parts])  # type: ignore[index]

    def _unite(self, a: int, b: int) -> None:
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low


def _shape(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _channels(node: Node) -> int:
    shape = _shape(node)
    is_known = len(shape) in _RANKS.values() and isinstance(shape[1], int)
    return shape[1] if is_known else 0


def constants(node: Node) -> set[str]:
    """Targets of a layer's weight and bias; empty for any other node."""
    if not graphs.is_layer(node):
        return set()
    return {str(each.target) for each in (graphs.weight_of(node), graphs.bias_of(node)) if each}


def shared_constants(graph: GraphModule) -> set[str]:
    """Targets of constants that several operators read: no layer that reads one is scaled."""
    uses: dict[str, int] = defaultdict(int)
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] += len(node.users)
    return {target for target, count in uses.items() if count > 1}


def ceiling(node: Node) -> float:
    """The upper end of a clamp from 0, such as 6 of ReLU6; 0 for any other operator."""
    if node.target in _RELU6:
        return 6.0
    low, high = (*node.args[1:3], -1, 1)[:2] if node.target in _HARDTANH else (-1, 0)
    return float(high) if low == 0 and isinstance(high, (int, float)) else 0.0


def is_plain(layer: Node) -> bool:
    """Whether a layer's weight sums over dimension 1 of its input, and its bias is constant or absent."""
    bias = layer.args[2] if len(layer.args) > 2 else None
    before = layer.args[0]
    assert isinstance(before, Node)
    fixed = bias is None or graphs.bias_of(layer) is not None
    return fixed and len(_shape(before)) == _RANKS.get(layer.target)


def _is_spatial_mean(node: Node) -> bool:
    """Whether a node is a mean over dimensions after that of the channels."""
    dims = node.args[1] if node.target is ATEN.mean.dim else None
    if not isinstance(dims, (list, tuple)) or len(_shape(node)) < 2:
        return False
    rank = len(_shape(node.all_input_nodes[0]))
    return all(each % rank > 1 for each in dims)
