"""Fake quantization that can be trained: a graph that runs as if quantized, its gradients as if it were not.

The straight-through estimator (Bengio et al. 2013, arXiv:1308.3432; for int8 networks Jacob et al.
2018, arXiv:1712.05877, 3). It covers all layers and schemes in one way; torchao's QAT modules cover
linear layers and embeddings, its PT2E one the quantizer of a single runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgepack.compress import graph as graphs
from edgepack.compress import simulate
from edgepack.compress.ranges import Range
from edgepack.formats.coreml.palette import palette
from edgepack.recipe import FLOATS, NEEDS_ZEROS, Recipe, Scheme

BITS: dict[Scheme, int] = {"p4": 4, "p6": 6, "p8": 8, "sparse+p6": 6}
"""Of the schemes that keep weights in a palette."""
BLOCK = 32
"""Input channels that share a scale in `w4` (executorch's and Core ML's usual blocks)."""
_AGE = 50
"""Training runs for which a palette serves; at inference it is always that of the weights as they are."""


class Faked(nn.Module):
    """A graph as if quantized by `recipe`; its parameters are those of the graph."""

    def __init__(
        self, module: GraphModule, recipe: Recipe, ranges: Mapping[str, Range], group: int = 0
    ) -> None:
        """`module`: batch norm folded. `ranges`: of activations, by node. `group`: output channels that
        share a palette of 4 bits, where it divides a layer's; 0 where all share one."""
        super().__init__()
        self.module = module
        wide = {path for path in graphs.layers(module) if recipe.of(path) == "w8a8"}
        only = Recipe("fp32", dict.fromkeys(wide, "w8a8"))
        names = simulate.quantized_outputs(module, only) if wide else set()
        self.grids = {name: simulate.grid(ranges[name]) for name in names if name in ranges}
        self.weights = {
            str(node.args[1].target): _Weight(node, recipe.of(path), group)  # type: ignore[union-attr]
            for path, node in graphs.layers(module).items()
            if recipe.of(path) not in FLOATS
        }

    def forward(self, *inputs: Tensor) -> Any:
        return _Straight(self).run(*inputs)


class _Straight(Interpreter):
    """One run of the graph with fake quantization."""

    def __init__(self, faked: Faked) -> None:
        super().__init__(faked.module)
        self.faked = faked

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        weight = self.faked.weights.get(target)
        return weight.straight(value) if weight else value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        # the guards of torch.export, which hold a batch to be of one sample
        return None if target == "_guards_fn" else super().call_module(target, args, kwargs)

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        grid = self.faked.grids.get(n.name)
        return value if grid is None else torch.fake_quantize_per_tensor_affine(value, *grid, 0, 255)


class _Weight:
    """How one layer's weight is rounded, and its palettes."""

    def __init__(self, layer: Node, scheme: Scheme, group: int) -> None:
        self.layer = layer
        self.scheme = scheme
        self.group = group if scheme == "p4" else 0
        self.tables: list[Tensor] = []
        self.age = _AGE
        self.version = -1

    def straight(self, weight: Tensor) -> Tensor:
        """The rounded weight, with the gradient of the weight itself."""
        return weight + (self.rounded(weight.detach()) - weight).detach()

    def rounded(self, weight: Tensor) -> Tensor:
        if self.scheme == "sparse":
            return weight
        if self.scheme == "w4":
            return _blocks(weight)
        if self.scheme not in BITS:
            return simulate.rounded(weight, self.layer)
        parts = weight.split(self.group) if self._grouped(weight) else (weight,)
        self._refresh(weight, parts)
        snapped = torch.cat([_nearest(part, table) for part, table in zip(parts, self.tables)])
        return torch.where(weight == 0, weight, snapped) if self.scheme in NEEDS_ZEROS else snapped

    def _grouped(self, weight: Tensor) -> bool:
        return bool(self.group) and len(weight) % self.group == 0

    def _refresh(self, weight: Tensor, parts: tuple[Tensor, ...]) -> None:
        """New palettes, where they are too old."""
        self.age += 1
        stale = self.age > _AGE if torch.is_grad_enabled() else self.version != weight._version
        if stale:
            self.tables = [self._table(part) for part in parts]
            self.age, self.version = 0, weight._version

    def _table(self, part: Tensor) -> Tensor:
        values = part.double().numpy()
        kept = values[values != 0] if self.scheme in NEEDS_ZEROS else values
        return torch.from_numpy(np.sort(palette(kept, 1 << BITS[self.scheme]))).to(part.dtype)


def _nearest(weight: Tensor, table: Tensor) -> Tensor:
    """Each weight's nearest value in an ascending table."""
    return table[torch.bucketize(weight.contiguous(), (table[1:] + table[:-1]) / 2)]


def _blocks(weight: Tensor) -> Tensor:
    """A weight on its 4-bit grid: symmetric, -7..7, a scale for each output channel's block of inputs."""
    size = BLOCK if weight.shape[1] % BLOCK == 0 else weight.shape[1]
    blocks = weight.flatten(1) if weight.dim() == 2 else weight.movedim(1, -1)
    parts = blocks.reshape(-1, size)
    scale = parts.abs().amax(1, keepdim=True).clamp_min(1e-12) / 7
    grid = ((parts / scale).round() * scale).view(blocks.shape)
    return grid if weight.dim() == 2 else grid.movedim(-1, 1)
