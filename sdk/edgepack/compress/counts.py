"""Counts: how large a model and its layers are, and how much they compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.fx import GraphModule, Node
from torch.utils.flop_counter import FlopCounterMode

from edgepack.graph import layers as graphs
from edgepack.model.source import Source
from edgepack.report import Counts


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs."""

    values: int
    """Of its weight."""
    multiply_adds: int
    """Of one sample."""


def count(module: nn.Module, example: tuple[torch.Tensor, ...]) -> Counts:
    """Count `module`; it is run once on `example`, a sample with its batch dimension of 1."""
    weights = list(module.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*example)
    return Counts(
        parameters=sum(each.numel() for each in weights),
        nonzero=sum(int(torch.count_nonzero(each)) for each in weights),
        multiply_adds=counter.get_total_flops() // 2,  # it counts a multiply-add as two
    )


def layer_costs(source: Source) -> dict[str, LayerCost]:
    """The cost of each layer by module path, in the order in which they run."""
    module = source.exported.module()
    assert isinstance(module, GraphModule)
    costs = {}
    for path, layer in graphs.layers(module).items():
        weight = graphs.constant(module, graphs.weight_of(layer))
        costs[path] = LayerCost(weight.numel(), weight.numel() * _positions(layer, weight))
    return costs


def _positions(layer: Node, weight: torch.Tensor) -> int:
    """How often a layer uses each value of its weight for one sample."""
    # a transposed convolution uses its weight once per input position, all others once per output position
    transposed = layer.target in graphs.TRANSPOSED
    value = layer.all_input_nodes[0].meta["val"] if transposed else layer.meta["val"]
    return int(value.numel() // value.shape[0] // weight.shape[0])
