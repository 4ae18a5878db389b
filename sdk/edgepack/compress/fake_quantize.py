"""Fake quantization: a graph that runs as if it were quantized, with gradients for training.

Integers: values are rounded in the forward pass, and the gradient ignores the rounding (the straight-through
estimator: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877, 3). Palettes: each weight
keeps its index, and the palette's values are trained (Han et al. 2016, Deep Compression, arXiv:1510.00149,
3). One method serves all layers; torchao's QAT modules cover linear layers and embeddings only, and its PT2E
QAT covers the quantizer of a single runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgepack.compress.simulation import activation_bits
from edgepack.graph import layers as graphs
from edgepack.graph.guards import WithoutGuards
from edgepack.graph.palettes import palette
from edgepack.graph.quantization_grid import ActivationGrid, rounded_weight
from edgepack.graph.ranges import Range
from edgepack.recipe import Recipe
from edgepack.scheme import Scheme

Blocks = Callable[[Tensor], Tensor]
"""A weight as a format stores it with one scale per block (`WeightStorage.in_blocks`)."""


class FakeQuantized(nn.Module):
    """A graph that runs as if it were quantized by a recipe; it shares the graph's parameters.

    For schemes with palettes, the graph's weights are set to values of the palette.
    """

    def __init__(
        self,
        module: GraphModule,
        recipe: Recipe,
        ranges: Mapping[str, Range],
        in_blocks: Blocks | None = None,
    ) -> None:
        """`module`: a graph with folded batch norms. `ranges`: ranges of activations by node name.
        `in_blocks`: required if the recipe has a scheme with one scale per block."""
        super().__init__()
        self.module = module
        # only layers have a scheme, so that the operators between them have none of their own
        static = {
            path: recipe.of(path) for path in graphs.layers(module) if recipe.at(path).has_static_activations
        }
        bits = activation_bits(module, Recipe("fp32", static)) if static else {}
        self.grids = {
            name: ActivationGrid.of(ranges[name], width) for name, width in bits.items() if name in ranges
        }
        self.weights: dict[str, _FakeWeight] = {}
        for path, layer in graphs.layers(module).items():
            scheme = recipe.at(path)
            if not scheme.is_float:
                node = graphs.weight_of(layer)
                weight = graphs.constant(module, node)
                self.weights[str(node.target)] = _FakeWeight(layer, scheme, weight, in_blocks)

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs of the graph, with weights and activations rounded."""
        return _Run(self).run(*inputs)


class _Run(WithoutGuards):
    """One run of the graph with fake quantization."""

    def __init__(self, fake: FakeQuantized) -> None:
        super().__init__(fake.module)
        self._fake = fake

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        weight = self._fake.weights.get(target)
        return weight.rounded(value) if weight else value

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        grid = self._fake.grids.get(n.name)
        return value if grid is None else grid.rounded(value)


class _FakeWeight:
    """How one layer's weight is rounded. A palette is computed once and written into the weight."""

    def __init__(self, layer: Node, scheme: Scheme, weight: Tensor, in_blocks: Blocks | None) -> None:
        self._layer = layer
        self._in_blocks = in_blocks
        self._scheme = scheme
        self._indices: Tensor | None = None
        """Palette index of each weight, int64 in the shape of the weight."""
        if scheme.is_palette:
            table, self._indices = _indexed(weight.detach(), scheme)
            uses = self._indices.flatten().bincount(minlength=len(table))
            self._uses = uses.clamp_min(1).to(weight.dtype)
            with torch.no_grad():
                weight.copy_(table[self._indices])

    def rounded(self, weight: Tensor) -> Tensor:
        """The weight as the file stores it, with a gradient."""
        if self._scheme.weights == "float":
            return weight
        if self._indices is not None:
            # a palette value is the mean of the weights that use it, so each of them receives its gradient
            sums = weight.new_zeros(len(self._uses)).index_add(0, self._indices.flatten(), weight.flatten())
            return (sums / self._uses)[self._indices]
        exact = weight.detach()
        if self._scheme.granularity == "block":
            assert self._in_blocks is not None
            return weight + (self._in_blocks(exact) - exact)
        return weight + (rounded_weight(exact, self._layer, self._scheme.weight_bits) - exact)


def _indexed(weight: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """A palette [values] for a weight, and the index of each weight, in the shape of the weight.

    With a sparse scheme, zeros have index 0, which is not part of the stored palette.
    """
    values = weight.double().numpy()
    entries = palette(values[values != 0] if scheme.sparse else values, 1 << scheme.weight_bits)
    table = torch.from_numpy(entries).to(weight.dtype)
    indices = torch.bucketize(weight.contiguous(), (table[1:] + table[:-1]) / 2)
    if not scheme.sparse:
        return table, indices
    return torch.cat([table.new_zeros(1), table]), torch.where(weight == 0, 0, indices + 1)
