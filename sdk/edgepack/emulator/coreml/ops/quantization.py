"""Activations to whole numbers and back (`iOS17/quantization_ops.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Given, Op


def quantize(given: Given) -> torch.Tensor:
    """round(input / scale) + zero point, held within int8 or uint8; ties to even."""
    held = torch.iinfo(given.dtypes[0])
    codes = torch.round(given["input"] / _along(given, "scale")) + _zero_point(given)
    return codes.clamp(held.min, held.max).to(given.dtypes[0])


def dequantize(given: Given) -> torch.Tensor:
    """scale * (input - zero point)."""
    return _along(given, "scale") * (given["input"].float() - _zero_point(given))


def _zero_point(given: Given) -> torch.Tensor | float:
    return _along(given, "zero_point").float() if given.has("zero_point") else 0.0


def _along(given: Given, name: str) -> torch.Tensor:
    """A scalar, or a vector along `axis` of the input."""
    value, x = given[name], given["input"]
    if value.dim() == 0:
        return value
    sizes = [1] * x.dim()
    sizes[given.integer("axis")] = -1
    return value.reshape(sizes)


OPS: Mapping[str, Op] = {"quantize": quantize, "dequantize": dequantize}
