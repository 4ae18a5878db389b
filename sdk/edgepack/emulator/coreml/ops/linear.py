"""Products of matrices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op


def linear(given: Given) -> Tensor:
    """x of [*, in] times a weight of [out, in], transposed, and a bias of [out]."""
    x, weight = _alike(given, "x", "weight")
    bias = given.get("bias")
    return functional.linear(x, weight, None if bias is None else bias.to(x.dtype))


def matmul(given: Given) -> Tensor:
    """A product with NumPy's broadcasting; a transposition does nothing to a vector."""
    x, y = _alike(given, "x", "y")
    return torch.matmul(_turned(x, given.flag("transpose_x")), _turned(y, given.flag("transpose_y")))


def einsum(given: Given) -> Tensor:
    """A sum of products by an equation; axes of size 1 are broadcast."""
    return torch.einsum(given.text("equation"), *given.several("values"))


def _alike(given: Given, first: str, second: str) -> tuple[Tensor, Tensor]:
    """Both in the output's type: since iOS17 a constant may have another."""
    kind = torch.float32 if given.dtypes[0].is_floating_point else given.dtypes[0]
    return given[first].to(kind), given[second].to(kind)


def _turned(x: Tensor, wanted: bool) -> Tensor:
    return x.transpose(-1, -2) if wanted and x.dim() > 1 else x


OPS: Mapping[str, Op] = {"einsum": einsum, "linear": linear, "matmul": matmul}
