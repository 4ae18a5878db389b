"""Equalization: channels rescaled between layers, so that they share a quantization range.

Scaling a channel where a layer writes it, and back where layers read it, leaves the float model's
answers as they are, as long as all between is blind to scale (ReLU, pooling, addition of tensors that
are scaled alike, concatenation). Nagel et al. 2019 (arXiv:1906.04721) do so between pairs of layers;
here each set of tensors that must share a scale is found in the graph, so that residual streams and
concatenations are reached, too. How much of the activations' spread is moved into the weights is
`strength`, as in SmoothQuant (Xiao et al. 2022, arXiv:2211.10438).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from edgepack.compress import graph as graphs
from edgepack.compress.graph import ATEN
from edgepack.samples import Samples

Ids = NDArray[np.int64]

_KEEPS = frozenset(
    {ATEN.relu.default, ATEN.relu_.default, ATEN.leaky_relu.default, ATEN.leaky_relu_.default,
     ATEN.dropout.default, ATEN.max_pool2d.default, ATEN.avg_pool2d.default, ATEN.adaptive_avg_pool2d.default,
     ATEN.max_pool1d.default, ATEN.avg_pool1d.default, ATEN.adaptive_avg_pool1d.default,
     ATEN.contiguous.default}
)  # fmt: skip
"""Operators through which the scale of a channel passes."""
_ADDS = frozenset({ATEN.add.Tensor, ATEN.add_.Tensor})
_RANKS: Mapping[object, int] = {ATEN.conv1d.default: 3, ATEN.conv2d.default: 4, ATEN.linear.default: 2}
"""Dimensions of a layer's input that has its channels in dimension 1."""
_LEAST = 1e-8
_BOUND = 2.0**12
"""Scales are kept within this factor: beyond it a channel is dead, not small."""


class Slots:
    """Sets of channels that must be scaled alike, over all tensors of a graph."""

    def __init__(self, graph: GraphModule) -> None:
        self._parent: list[int] = [0]
        self.of: dict[Node, Ids] = {}
        """The slot of each channel (dimension 1) of a tensor; slot 0 is never scaled."""
        shared = _shared_constants(graph)
        for node in graph.graph.nodes:
            if node.op in ("placeholder", "call_function"):
                self._visit(node, bool(_constants(node) & shared))
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
        elif graphs.is_layer(node) and _plain(node):
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
        if node.target in _KEEPS or _is_zero_pad(node) or _is_spatial_mean(node):
            same = len(self.of[tensors[0]]) == channels
            return self.of[tensors[0]] if same else None
        if node.target is ATEN.flatten.using_ints and node.args[1:2] == (1,):
            return np.repeat(self.of[tensors[0]], channels // max(1, len(self.of[tensors[0]])))
        if node.target is ATEN.cat.default and node.args[1:2] == (1,):
            given = node.args[0]
            assert isinstance(given, (list, tuple))
            return np.concatenate([self.of[each] for each in given])  # type: ignore[index]
        if node.target in _ADDS and len(tensors) == 2 and _shape(tensors[0]) == _shape(tensors[1]):
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


def _weight(node: Node) -> str:
    return str(graphs.weight_of(node).target) if graphs.is_layer(node) else ""


def _constants(node: Node) -> set[str]:
    """A layer's weight and bias."""
    if not graphs.is_layer(node):
        return set()
    return {str(each.target) for each in (graphs.weight_of(node), graphs.bias_of(node)) if each}


def _shared_constants(graph: GraphModule) -> set[str]:
    """Constants that several operators read: no layer that has one of them is scaled."""
    uses: dict[str, int] = defaultdict(int)
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] += len(node.users)
    return {target for target, count in uses.items() if count > 1}


def _plain(node: Node) -> bool:
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


class _Magnitudes(Interpreter):
    def __init__(self, graph: GraphModule, wanted: set[Node]) -> None:
        super().__init__(graph)
        self._wanted = wanted
        self.found: dict[Node, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self._wanted:
            most = value.detach().abs().transpose(0, 1).flatten(1).amax(1)
            self.found[n] = torch.maximum(self.found[n], most) if n in self.found else most.clone()
        return value


def equalize(graph: GraphModule, samples: Samples, strength: float) -> int:
    """Rescale channels of `graph` in place; how many are scaled.

    `strength`, 0..1: how far the activations' channels are made alike, at the cost of the weights.
    """
    slots = Slots(graph)
    layers = [node for node in graph.graph.nodes if graphs.is_layer(node) and _plain(node)]
    readers = [node for node in layers if node.args[0] in slots.of]
    scales = _scales(graph, slots, readers, samples, strength)
    for node in readers:
        _rescale_reader(graph, node, _gathered(scales, slots.settled(node.args[0])))
    for node in layers:
        _rescale_writer(graph, node, _gathered(scales, slots.settled(node)))
    return len(scales)


def _scales(
    graph: GraphModule, slots: Slots, readers: list[Node], samples: Samples, strength: float
) -> dict[int, float]:
    """What the channels of each slot are divided by."""
    wanted = {node for node in slots.of if slots.of[node].size and slots.settled(node).any()}
    magnitudes = _Magnitudes(graph, wanted)
    for sample in samples.inputs:
        magnitudes.run(*(torch.from_numpy(array) for array in sample))
    activations: dict[int, float] = defaultdict(float)
    weights: dict[int, float] = defaultdict(float)
    for node, most in magnitudes.found.items():
        _raise(activations, slots.settled(node), most)
    for node in readers:
        if node.args[0] in wanted:
            _raise(weights, slots.settled(node.args[0]), _read_by(graph, node))  # type: ignore[arg-type]
    usable = [k for k in activations if k and activations[k] > _LEAST and weights.get(k, 0.0) > _LEAST]
    found = {k: activations[k] ** strength / weights[k] ** (1 - strength) for k in usable}
    middle = float(np.exp(np.mean(np.log(list(found.values()))))) if found else 1.0
    return {k: float(np.clip(each / middle, 1 / _BOUND, _BOUND)) for k, each in found.items()}


def _raise(most: dict[int, float], slots: Ids, values: torch.Tensor) -> None:
    for slot, value in zip(slots.tolist(), values.tolist()):
        most[slot] = max(most[slot], value)


def _read_by(graph: GraphModule, layer: Node) -> torch.Tensor:
    """Greatest weight by which a layer reads each of its input channels."""
    weight = graphs.constant(graph, graphs.weight_of(layer)).detach()
    groups = _groups(layer)
    parts = weight.abs().reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return parts.amax(dim=(1, 3)).flatten()


def _groups(layer: Node) -> int:
    groups = layer.args[6] if len(layer.args) > 6 else layer.kwargs.get("groups", 1)
    assert isinstance(groups, int)
    return groups


def _gathered(scales: dict[int, float], slots: Ids) -> torch.Tensor:
    return torch.tensor([scales.get(slot, 1.0) for slot in slots.tolist()])


def _rescale_reader(graph: GraphModule, layer: Node, scale: torch.Tensor) -> None:
    target = _weight(layer)
    weight = graphs.constant(graph, graphs.weight_of(layer))
    groups = _groups(layer)
    per_row = scale.reshape(groups, weight.shape[1]).repeat_interleave(weight.shape[0] // groups, 0)
    graphs.set_constant(graph, target, weight * per_row.reshape(*per_row.shape, *[1] * (weight.dim() - 2)))


def _rescale_writer(graph: GraphModule, layer: Node, scale: torch.Tensor) -> None:
    target = _weight(layer)
    weight = graphs.constant(graph, graphs.weight_of(layer))
    graphs.set_constant(graph, target, weight / scale.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias := graphs.bias_of(layer):
        graphs.set_constant(graph, str(bias.target), graphs.constant(graph, bias) / scale)
