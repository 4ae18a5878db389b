"""Operations on each element alone (`mil/ops/defs/*/elementwise_unary.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from edgepack.emulator.coreml.operation import Given, Op

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


def cast(given: Given) -> torch.Tensor:
    """Another type: floats lose their fraction, whole numbers what has no room; fp16 is rounded after."""
    x, dtype = given["x"], given.text("dtype")
    if dtype == "uint16":
        return x.to(torch.int32) & _UNSIGNED_16
    return x.to(_CAST[dtype])


def clip(given: Given) -> torch.Tensor:
    """`x` held between `alpha` and `beta`."""
    return given["x"].clamp(given.number("alpha"), given.number("beta"))


def inverse(given: Given) -> torch.Tensor:
    """1 / (x + epsilon)."""
    return torch.reciprocal(given["x"] + given["epsilon"])


def log(given: Given) -> torch.Tensor:
    """Natural logarithm of x + epsilon."""
    return torch.log(given["x"] + given["epsilon"])


def rsqrt(given: Given) -> torch.Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(given["x"] + given["epsilon"])


def threshold(given: Given) -> torch.Tensor:
    """`x`, but no less than `alpha`."""
    return torch.maximum(given["x"], given["alpha"])


def _unary(compute: Callable[[torch.Tensor], torch.Tensor]) -> Op:
    return lambda given: compute(given["x"])


OPS: Mapping[str, Op] = {
    **{name: _unary(compute) for name, compute in _UNARY.items()},
    "cast": cast,
    "clip": clip,
    "inverse": inverse,
    "log": log,
    "rsqrt": rsqrt,
    "threshold": threshold,
}
