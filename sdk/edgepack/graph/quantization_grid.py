"""Integer grids: the scale and zero point of activations, and weights rounded to their grid.

They are those of the runtimes (Jacob et al. 2018, arXiv:1712.05877): activations are unsigned with one scale
for a tensor, weights symmetric with one scale for each output channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from edgepack.graph.layers import TRANSPOSED

LEAST_STEP = 1e-12
"""A row of weights that are all zero has a largest weight of this size, so that it has a scale, too."""


def greatest_code(bits: int) -> int:
    """The greatest unsigned code, which is also the number of steps in a range: 255 for 8 bits."""
    return (1 << bits) - 1


def greatest_weight_code(bits: int) -> int:
    """The greatest code of symmetric weights, -127 to 127 for 8 bits."""
    return (1 << (bits - 1)) - 1


@dataclass(frozen=True)
class ActivationGrid:
    """Unsigned codes: a value is `scale * (code - zero_point)`."""

    scale: float
    zero_point: int
    bits: int

    @classmethod
    def of(cls, limits: tuple[float, float], bits: int = 8) -> ActivationGrid:
        """The grid over a range (low, high), which is extended to contain zero."""
        low, high = min(limits[0], 0.0), max(limits[1], 0.0)
        scale = (high - low) / greatest_code(bits) or 1.0
        return cls(scale, round(-low / scale), bits)

    def rounded(self, values: Tensor) -> Tensor:
        """Values on the grid, in float, with the gradient of a straight-through estimator."""
        last = greatest_code(self.bits)
        return torch.fake_quantize_per_tensor_affine(values, self.scale, self.zero_point, 0, last)


def rounded_weight(weight: Tensor, layer: Node, bits: int = 8) -> Tensor:
    """A layer's weight on its integer grid, in float, of the same shape."""
    axis = 1 if layer.target in TRANSPOSED else 0
    last = greatest_weight_code(bits)
    others = [dim for dim in range(weight.dim()) if dim != axis]
    scale = weight.detach().abs().amax(dim=others).clamp_min(LEAST_STEP) / last
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.detach(), scale, zeros, axis, -last, last)
