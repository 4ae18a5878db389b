"""Elementwise operations on one tensor (`mil/ops/defs/*/elementwise_unary.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from edgepack.emulator.coreml.operation import Inputs, Op

_UNARY: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
_CAST = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "bool": torch.bool,
}
_UNSIGNED_16 = 0xFFFF


def cast(inputs: Inputs) -> torch.Tensor:
    """Convert to another type: fractions are cut off, integers wrap; the interpreter rounds to fp16."""
    x, dtype = inputs["x"], inputs.text("dtype")
    if dtype == "uint16":
        return x.to(torch.int32) & _UNSIGNED_16
    return x.to(_CAST[dtype])


def clip(inputs: Inputs) -> torch.Tensor:
    """x clamped to [alpha, beta]."""
    return inputs["x"].clamp(inputs.number("alpha"), inputs.number("beta"))


def inverse(inputs: Inputs) -> torch.Tensor:
    """1 / (x + epsilon)."""
    return torch.reciprocal(inputs["x"] + inputs["epsilon"])


def log(inputs: Inputs) -> torch.Tensor:
    """Natural logarithm of x + epsilon."""
    return torch.log(inputs["x"] + inputs["epsilon"])


def rsqrt(inputs: Inputs) -> torch.Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(inputs["x"] + inputs["epsilon"])


def threshold(inputs: Inputs) -> torch.Tensor:
    """max(x, alpha)."""
    return torch.maximum(inputs["x"], inputs["alpha"])


def _unary(compute: Callable[[torch.Tensor], torch.Tensor]) -> Op:
    return lambda inputs: compute(inputs["x"])


OPS: Mapping[str, Op] = {
    **{name: _unary(compute) for name, compute in _UNARY.items()},
    "cast": cast,
    "clip": clip,
    "inverse": inverse,
    "log": log,
    "rsqrt": rsqrt,
    "threshold": threshold,
}
