"""Scale groups: sets of channels that must be scaled alike, so that a graph's outputs stay the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Node

from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN

Ids = NDArray[np.int64]

_KEEPS = frozenset(
    {ATEN.relu.default, ATEN.relu_.default, ATEN.leaky_relu.default, ATEN.leaky_relu_.default,
     ATEN.dropout.default, ATEN.max_pool2d.default, ATEN.avg_pool2d.default, ATEN.adaptive_avg_pool2d.default,
     ATEN.max_pool1d.default, ATEN.avg_pool1d.default, ATEN.adaptive_avg_pool1d.default,
     ATEN.contiguous.default}
)  # fmt: skip
"""Operators through which the scale of a channel passes."""
_RELU6 = frozenset({ATEN.relu6.default, ATEN.relu6_.default})
_HARDTANH = frozenset({ATEN.hardtanh.default, ATEN.hardtanh_.default})
ADDS = frozenset({ATEN.add.Tensor, ATEN.add_.Tensor})
_RANKS: Mapping[object, int] = {ATEN.conv1d.default: 3, ATEN.conv2d.default: 4, ATEN.linear.default: 2}
"""Dimensions of a layer's input that has its channels in dimension 1."""


class ScaleGroups:
    """Sets of channels that must be scaled alike, over all tensors of a graph."""

    def __init__(self, graph: GraphModule, *, clamped: bool = False) -> None:
        """`clamped`: scales pass clamps from 0 to a constant, too, which holds while that is not reached."""
        self._clamped = clamped
        self._parent: list[int] = [0]
        self.of: dict[Node, Ids] = {}
        """The slot of each channel (dimension 1) of a tensor; slot 0 is never scaled."""
        shared = shared_constants(graph)
        for node in graph.graph.nodes:
            if node.op in ("placeholder", "call_function"):
                self._visit(node, bool(constants(node) & shared))
            elif node.op == "output":
                self._pin(node)

    def find(self, slot: int) -> int:
        """The slot that stands for its set."""
        while self._parent[slot] != slot:
            self._parent[slot] = self._parent[self._parent[slot]]
            slot = self._parent[slot]
        return slot

    def settled(self, node: Node) -> Ids:
        """The slots of a tensor's channels, one number a set."""
        return np.asarray([self.find(int(each)) for each in self.of[node]], np.int64)

    def _visit(self, node: Node, shared: bool) -> None:
        channels = _channels(node)
        if node.op == "placeholder" or shared or channels == 0:
            self._pin(node)
            self.of[node] = np.zeros(channels, np.int64)
        elif graphs.is_layer(node) and plain(node):
            first = len(self._parent)
            self._parent.extend(range(first, first + channels))
            self.of[node] = np.arange(first, first + channels)
        elif (ids := self._carried(node, channels)) is not None:
            self.of[node] = ids
        else:
            self._pin(node)
            self.of[node] = np.zeros(channels, np.int64)

    def _carried(self, node: Node, channels: int) -> Ids | None:
        """The slots of an operator that passes scales on; None for all others."""
        tensors = [each for each in node.all_input_nodes if each in self.of]
        if len(tensors) < len(node.all_input_nodes):
            return None
        passes = node.target in _KEEPS or (self._clamped and ceiling(node) > 0)
        if passes or _is_zero_pad(node) or _is_spatial_mean(node):
            same = len(self.of[tensors[0]]) == channels
            return self.of[tensors[0]] if same else None
        if node.target is ATEN.flatten.using_ints and node.args[1:2] == (1,):
            return np.repeat(self.of[tensors[0]], channels // max(1, len(self.of[tensors[0]])))
        if node.target is ATEN.cat.default and node.args[1:2] == (1,):
            given = node.args[0]
            assert isinstance(given, (list, tuple))
            return np.concatenate([self.of[each] for each in given])  # type: ignore[index]
        if node.target in ADDS and len(tensors) == 2 and _shape(tensors[0]) == _shape(tensors[1]):
            for a, b in zip(self.of[tensors[0]], self.of[tensors[1]]):
                self._join(int(a), int(b))
            return self.of[tensors[0]]
        return None

    def _join(self, a: int, b: int) -> None:
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low

    def _pin(self, node: Node) -> None:
        for each in node.all_input_nodes:
            for slot in set(self.of.get(each, np.zeros(0, np.int64)).tolist()):
                self._join(0, slot)


def _shape(node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _channels(node: Node) -> int:
    shape = _shape(node)
    return int(shape[1]) if len(shape) in _RANKS.values() else 0


def constants(node: Node) -> set[str]:
    """A layer's weight and bias."""
    if not graphs.is_layer(node):
        return set()
    return {str(each.target) for each in (graphs.weight_of(node), graphs.bias_of(node)) if each}


def shared_constants(graph: GraphModule) -> set[str]:
    """Constants that several operators read: no layer that has one of them is scaled."""
    uses: dict[str, int] = defaultdict(int)
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] += len(node.users)
    return {target for target, count in uses.items() if count > 1}


def ceiling(node: Node) -> float:
    """Where a clamp from 0 ends, such as ReLU6; 0 for any other operator."""
    if node.target in _RELU6:
        return 6.0
    low, high = (*node.args[1:3], -1, 1)[:2] if node.target in _HARDTANH else (-1, 0)
    return float(high) if low == 0 and isinstance(high, (int, float)) else 0.0


def plain(node: Node) -> bool:
    """A layer whose input's dimension 1 is what its weight sums over, and whose bias is constant."""
    bias = node.args[2] if len(node.args) > 2 else None
    before = node.args[0]
    assert isinstance(before, Node)
    fixed = bias is None or graphs.bias_of(node) is not None
    return fixed and len(_shape(before)) == _RANKS.get(node.target)


def _is_zero_pad(node: Node) -> bool:
    return node.target is ATEN.pad.default and node.args[2:] in (
        (),
        ("constant",),
        ("constant", 0),
        ("constant", 0.0),
    )


def _is_spatial_mean(node: Node) -> bool:
    dims = node.args[1] if node.target is ATEN.mean.dim else None
    if not isinstance(dims, (list, tuple)) or len(_shape(node)) < 2:
        return False
    rank = len(_shape(node.all_input_nodes[0]))
    return all(each % rank > 1 for each in dims)
