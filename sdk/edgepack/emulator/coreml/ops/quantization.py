"""Quantization and dequantization of activations (`iOS17/quantization_ops.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Inputs, Op


def quantize(inputs: Inputs) -> torch.Tensor:
    """round(input / scale) + zero point, clamped to int8 or uint8; halves are rounded to even."""
    held = torch.iinfo(inputs.dtypes[0])
    codes = torch.round(inputs["input"] / _along(inputs, "scale")) + _zero_point(inputs)
    return codes.clamp(held.min, held.max).to(inputs.dtypes[0])


def dequantize(inputs: Inputs) -> torch.Tensor:
    """scale * (input - zero point)."""
    return _along(inputs, "scale") * (inputs["input"].float() - _zero_point(inputs))


def _zero_point(inputs: Inputs) -> torch.Tensor | float:
    return _along(inputs, "zero_point").float() if inputs.has("zero_point") else 0.0


def _along(inputs: Inputs, name: str) -> torch.Tensor:
    """A scalar, or a vector reshaped to broadcast along `axis` of the input."""
    value, x = inputs[name], inputs["input"]
    if value.dim() == 0:
        return value
    sizes = [1] * x.dim()
    sizes[inputs.integer("axis")] = -1
    return value.reshape(sizes)


OPS: Mapping[str, Op] = {"quantize": quantize, "dequantize": dequantize}
