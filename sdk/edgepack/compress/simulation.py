"""A simulation of int8 in torch: what a recipe does to the model's outputs, without writing a file.

Fake quantization as the runtimes do it: weights symmetric, a scale a channel; activations unsigned
8 bits, a scale a tensor; a clamp is part of the layer that it follows. It drives the search alone:
the verdict on a recipe is that of the written file in its own runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN, CLAMPS, PASSES
from edgepack.graph.ranges import Histogram, Range
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES

_COMPUTES = frozenset(
    {
        ATEN.add.Tensor,
        ATEN.add_.Tensor,
        ATEN.mul.Tensor,
        ATEN.mul_.Tensor,
        ATEN.cat.default,
        ATEN.adaptive_avg_pool2d.default,
        ATEN.avg_pool2d.default,
        ATEN.mean.dim,
    }
)
"""Operators without weights that give new values, which the runtimes quantize, too."""


def quantized_outputs(graph: GraphModule, recipe: Recipe) -> set[str]:
    """Names of the nodes whose values are quantized by a `w8a8` recipe: what layers read and give, and
    what other operators make of the one that becomes the other."""
    read = graphs.feeding(graph, lambda layer: not recipe.at(graphs.scope(layer)).is_float)
    names: set[str] = set()
    for node in graph.graph.nodes:
        if graphs.is_layer(node):
            if not recipe.at(graphs.scope(node)).is_float:
                names |= {_site(node).name, _source(node.args[0]).name}
        elif node.target in _COMPUTES and node in read and not recipe.at(graphs.scope(node)).is_float:
            inputs = [each for each in node.all_input_nodes if each.op != "get_attr"]
            if any(_source(each).name in names for each in inputs):
                names.add(_site(node).name)
    return names


def _site(node: Node) -> Node:
    """The node whose value leaves an operator: the clamp that alone reads it, or itself."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in CLAMPS else node


_OTHERS = frozenset(
    {ATEN.hardswish.default, ATEN.hardswish_.default, ATEN.hardsigmoid.default, ATEN.hardsigmoid_.default,
     ATEN.silu.default, ATEN.silu_.default, ATEN.sigmoid.default, ATEN.gelu.default, ATEN.softmax.int,
     ATEN.layer_norm.default, ATEN.matmul.default, ATEN.leaky_relu.default, ATEN.leaky_relu_.default,
     ATEN.max_pool2d.default, ATEN.flatten.using_ints, ATEN.view.default, ATEN.reshape.default,
     ATEN.pad.default, ATEN.tanh.default}
)  # fmt: skip
"""Operators whose values a layer may read, so that they are quantized as its input."""


def _source(node: Any) -> Node:
    """The node that gave the values which `node` passes on."""
    assert isinstance(node, Node)
    while node.op == "call_function" and node.target in PASSES:
        node = node.args[0]
        assert isinstance(node, Node)
    return node


def may_be_quantized(node: Node) -> bool:
    """Whether the node's value is one that some recipe quantizes."""
    return node.op == "placeholder" or (
        node.op == "call_function" and (node.target in graphs.WEIGHTED | _COMPUTES | CLAMPS | _OTHERS)
    )


def last(graph: GraphModule) -> set[str]:
    """Names of the nodes from which no layer reads any more: the last layer's values, and what follows.

    Their greatest values are the answer, so they are never clipped.
    """
    read = graphs.feeding(graph, lambda _: True)
    return {node.name for node in graph.graph.nodes if node not in read and node.op == "call_function"}


def shared(graph: GraphModule, seen: Mapping[str, Histogram]) -> dict[str, Histogram]:
    """What calibration saw, tensors that a concatenation joins for a layer told alike.

    Runtimes join them without arithmetic only where they share a scale.
    """
    found = dict(seen)
    read = graphs.feeding(graph, lambda _: True)
    for node in graph.graph.nodes:
        if node.target is ATEN.cat.default and node in read and node.name in found:
            parts = [_source(each) for each in node.all_input_nodes]
            if all(each.name in found for each in parts):
                found.update({each.name: found[node.name] for each in parts})
    return found


class Simulation(Interpreter):
    """The graph with fake quantization by a recipe."""

    def __init__(self, graph: GraphModule, recipe: Recipe, ranges: Mapping[str, Range]) -> None:
        super().__init__(graph)
        self._steps = {
            name: grid(ranges[name]) for name in quantized_outputs(graph, recipe) if name in ranges
        }
        self._weights = {
            str(graphs.weight_of(node).target): rounded(graphs.constant(graph, graphs.weight_of(node)), node)
            for path, node in graphs.layers(graph).items()
            if not SCHEMES[recipe.of(path)].is_float
        }

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        held = self._weights.get(target)
        return super().get_attr(target, args, kwargs) if held is None else held

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        step = self._steps.get(n.name)
        if step is None or not isinstance(value, torch.Tensor):
            return value
        return torch.fake_quantize_per_tensor_affine(value, *step, 0, 255)


def grid(within: Range) -> tuple[float, int]:
    """Scale and zero point of unsigned 8 bits over a range, which is made to hold zero."""
    low, high = min(within[0], 0.0), max(within[1], 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


def rounded(weight: torch.Tensor, layer: Node) -> torch.Tensor:
    """A layer's weight on its int8 grid: symmetric, -127..127, a scale an output channel."""
    axis = 1 if layer.target in graphs.TRANSPOSED else 0
    others = [axis_ for axis_ in range(weight.dim()) if axis_ != axis]
    scale = weight.detach().abs().amax(dim=others).clamp_min(1e-12) / 127
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.detach(), scale, zeros, axis, -127, 127)
