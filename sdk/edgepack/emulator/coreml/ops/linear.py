"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op


def linear(inputs: Inputs) -> Tensor:
    """x weightᵀ + bias; x is [*, in], `weight` [out, in] and `bias` [out]."""
    x, weight = _alike(inputs, "x", "weight")
    bias = inputs.get("bias")
    return functional.linear(x, weight, None if bias is None else bias.to(x.dtype))


def matmul(inputs: Inputs) -> Tensor:
    """A matrix product with the broadcasting of NumPy; vectors are not transposed."""
    x, y = _alike(inputs, "x", "y")
    return torch.matmul(_turned(x, inputs.flag("transpose_x")), _turned(y, inputs.flag("transpose_y")))


def einsum(inputs: Inputs) -> Tensor:
    """Einstein summation; axes of size 1 are broadcast."""
    return torch.einsum(inputs.text("equation"), *inputs.several("values"))


def _alike(inputs: Inputs, first: str, second: str) -> tuple[Tensor, Tensor]:
    """Both in the output's type: since iOS17 a constant may have another."""
    kind = torch.float32 if inputs.dtypes[0].is_floating_point else inputs.dtypes[0]
    return inputs[first].to(kind), inputs[second].to(kind)


def _turned(x: Tensor, wanted: bool) -> Tensor:
    return x.transpose(-1, -2) if wanted and x.dim() > 1 else x


OPS: Mapping[str, Op] = {"einsum": einsum, "linear": linear, "matmul": matmul}
