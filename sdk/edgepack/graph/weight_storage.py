"""How a file format stores the weights of a layer, for training that simulates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule, Node

from edgepack.scheme import SchemeName


@dataclass(frozen=True)
class WeightStorage:
    """What quantization-aware training must know of a format to round weights as its files do."""

    keeps_float: Callable[[GraphModule, Node, SchemeName], bool]
    """Whether files keep a layer of a graph in float although the recipe gives it a scheme."""
    in_blocks: Callable[[Tensor], Tensor]
    """A layer's weight [out, ...] as `w4` stores it, dequantized: same shape and dtype."""
