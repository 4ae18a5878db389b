"""Fake quantization that can be trained: a graph that runs as if quantized, with gradients.

Integers: rounded on the way forward, and the gradient as if they were not (the straight-through
estimator: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877, 3). Palettes: each
weight keeps its place in the palette, and the palette's values are what is trained (Han et al. 2016,
Deep Compression, arXiv:1510.00149, 3). That is one way for all layers; torchao's QAT modules cover
linear layers and embeddings, its PT2E one the quantizer of a single runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgepack.compress import simulation
from edgepack.graph import layers as graphs
from edgepack.graph.guards import WithoutGuards
from edgepack.graph.palettes import BITS, palette
from edgepack.graph.ranges import Range
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

Blocks = Callable[[Tensor], Tensor]
"""A weight as a format's `w4` holds it."""


class FakeQuantized(nn.Module):
    """A graph as if quantized by `recipe`; its parameters are those of the graph.

    Where the recipe asks for palettes, the graph's weights are set to their values.
    """

    def __init__(
        self,
        module: GraphModule,
        recipe: Recipe,
        ranges: Mapping[str, Range],
        in_blocks: Blocks | None = None,
    ) -> None:
        """`module`: batch norm folded. `ranges`: of activations, by node. `in_blocks`: must be given
        where the recipe asks for `w4`."""
        super().__init__()
        self.module = module
        wide = {path for path in graphs.layers(module) if recipe.of(path) == "w8a8"}
        only = Recipe("fp32", dict.fromkeys(wide, "w8a8"))
        names = simulation.quantized_outputs(module, only) if wide else set()
        self.grids = {name: simulation.grid(ranges[name]) for name in names if name in ranges}
        self.weights: dict[str, _Weight] = {}
        for path, layer in graphs.layers(module).items():
            node = layer.args[1]
            if isinstance(node, Node) and not SCHEMES[recipe.of(path)].is_float:
                weight = graphs.constant(module, node)
                self.weights[str(node.target)] = _Weight(layer, recipe.of(path), weight, in_blocks)

    def forward(self, *inputs: Tensor) -> Any:
        return _Straight(self).run(*inputs)


class _Straight(WithoutGuards):
    """One run of the graph with fake quantization."""

    def __init__(self, faked: FakeQuantized) -> None:
        super().__init__(faked.module)
        self.faked = faked

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        weight = self.faked.weights.get(target)
        return weight.rounded(value) if weight else value

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        grid = self.faked.grids.get(n.name)
        return value if grid is None else torch.fake_quantize_per_tensor_affine(value, *grid, 0, 255)


class _Weight:
    """How one layer's weight is rounded. A palette is made at once, and written into the weight."""

    def __init__(self, layer: Node, scheme: SchemeName, weight: Tensor, in_blocks: Blocks | None) -> None:
        self.layer = layer
        self.in_blocks = in_blocks
        self.scheme = scheme
        self.codes: Tensor | None = None
        """Of each weight, which value of the palette it has."""
        if scheme in BITS:
            table, self.codes = _snapped(weight.detach(), scheme)
            self.counts = self.codes.flatten().bincount(minlength=len(table)).clamp_min(1).to(weight.dtype)
            with torch.no_grad():
                weight.copy_(table[self.codes])

    def rounded(self, weight: Tensor) -> Tensor:
        """The weight as it is stored, with a gradient."""
        if self.scheme == "sparse":
            return weight
        if self.codes is not None:
            sums = weight.new_zeros(len(self.counts)).index_add(0, self.codes.flatten(), weight.flatten())
            return (sums / self.counts)[self.codes]
        given = weight.detach()
        if self.scheme == "w4":
            assert self.in_blocks is not None
            return weight + (self.in_blocks(given) - given)
        return weight + (simulation.rounded(given, self.layer) - given)


def _snapped(weight: Tensor, scheme: SchemeName) -> tuple[Tensor, Tensor]:
    """A palette for a weight, and each value's place in it.

    Sparse weights of zero have the first place to themselves; it is stored nowhere.
    """
    values = weight.double().numpy()
    masked = SCHEMES[scheme].sparse
    found = palette(values[values != 0] if masked else values, 1 << BITS[scheme])
    table = torch.from_numpy(found).to(weight.dtype)
    codes = torch.bucketize(weight.contiguous(), (table[1:] + table[:-1]) / 2)
    if not masked:
        return table, codes
    return torch.cat([table.new_zeros(1), table]), torch.where(weight == 0, 0, codes + 1)
