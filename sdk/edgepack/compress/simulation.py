"""Simulation of static quantization in torch: what a recipe does to the outputs, without writing a file.

Fake quantization as the runtimes compute (see `graph/quantization_grid.py`); a clamp is part of the layer
that it follows. Palettes and blocks are not simulated: such weights stay as they are. A simulation guides
the choice of recipes only. Every written file is evaluated in its own runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgepack.graph import layers as graphs
from edgepack.graph.layers import (
    ATEN,
    CLAMPS,
    COMPUTES,
    QUANTIZABLE,
    clamp_ends,
    clamp_of,
    value_source,
)
from edgepack.graph.quantization_grid import ActivationGrid, rounded_weight
from edgepack.graph.ranges import Histogram, Range
from edgepack.recipe import Recipe
from edgepack.scheme import Scheme


def activation_bits(graph: GraphModule, recipe: Recipe) -> dict[str, int]:
    """Bits of the values that schemes with static activations quantize, by node name.

    These are the inputs and outputs of their layers, and what operators without weights compute between an
    output and an input. A value that belongs to several schemes has the most bits of them.
    """
    read = graphs.feeding(graph, lambda layer: recipe.at(graphs.scope(layer)).has_static_activations)
    bits: dict[str, int] = {}

    def quantize(node: Node, scheme: Scheme) -> None:
        bits[node.name] = max(scheme.activation_bits, bits.get(node.name, 0))

    for node in graph.graph.nodes:
        is_layer = graphs.is_layer(node)
        if not is_layer and not (node.target in COMPUTES and node in read):
            continue
        scheme = recipe.at(graphs.scope(node))
        if not scheme.has_static_activations:
            continue
        if is_layer:
            quantize(value_source(_input(node)), scheme)
            quantize(clamp_of(node) or node, scheme)
        else:
            inputs = [each for each in node.all_input_nodes if each.op != "get_attr"]
            if any(value_source(each).name in bits for each in inputs):
                quantize(clamp_of(node) or node, scheme)
    return bits


def _input(layer: Node) -> Node:
    node = layer.args[0]
    assert isinstance(node, Node)
    return node


def may_be_quantized(node: Node) -> bool:
    """Whether some recipe quantizes the node's value."""
    return node.op == "placeholder" or (node.op == "call_function" and node.target in QUANTIZABLE)


def last(graph: GraphModule) -> set[str]:
    """Names of the nodes after the input of the last layer: that layer's output, and what follows.

    Their greatest values decide the output, so they are never clipped.
    """
    read = graphs.feeding(graph, lambda _: True)
    return {node.name for node in graph.graph.nodes if node not in read and node.op == "call_function"}


def shared(graph: GraphModule, histograms: Mapping[str, Histogram]) -> dict[str, Histogram]:
    """Histograms in which the parts of a concatenation that a layer reads have that of the whole.

    Runtimes concatenate without arithmetic only where all parts have one scale. A clamp's output keeps its
    own where the whole goes further: runtimes leave the clamp to the range of what it gives.
    """
    found = dict(histograms)
    read = graphs.feeding(graph, lambda _: True)
    for node in graph.graph.nodes:
        if node.target is ATEN.cat.default and node in read and node.name in found:
            parts = [value_source(each) for each in node.all_input_nodes]
            if all(part.name in found for part in parts):
                whole = found[node.name]
                found.update({part.name: whole for part in parts if not _goes_beyond(whole, part)})
    return found


def _goes_beyond(whole: Histogram, part: Node) -> bool:
    """Whether values of a concatenation are outside of the clamp that a part of it comes from."""
    if part.target not in CLAMPS:
        return False
    least, most = clamp_ends(part)
    return whole.low < least or whole.high > most


class Simulation(Interpreter):
    """A graph with fake quantization by a recipe."""

    def __init__(self, graph: GraphModule, recipe: Recipe, ranges: Mapping[str, Range]) -> None:
        """`ranges`: of activations, by node name."""
        super().__init__(graph)
        self._grids = {
            name: ActivationGrid.of(ranges[name], bits)
            for name, bits in activation_bits(graph, recipe).items()
            if name in ranges
        }
        self._weights = {
            str(graphs.weight_of(layer).target): rounded_weight(
                graphs.constant(graph, graphs.weight_of(layer)), layer, recipe.at(path).weight_bits
            )
            for path, layer in graphs.layers(graph).items()
            if recipe.at(path).has_integer_channels
        }

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        weight = self._weights.get(target)
        return super().get_attr(target, args, kwargs) if weight is None else weight

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        grid = self._grids.get(n.name)
        return value if grid is None or not isinstance(value, torch.Tensor) else grid.rounded(value)
