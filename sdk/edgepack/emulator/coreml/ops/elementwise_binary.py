"""Operations on two tensors with the broadcasting of NumPy (`iOS15/elementwise_binary.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from edgepack.emulator.coreml.operation import Inputs, Op


def real_div(inputs: Inputs) -> torch.Tensor:
    """x / y; integer results are rounded towards zero."""
    x, y = inputs["x"], inputs["y"]
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _binary(compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Op:
    return lambda inputs: compute(inputs["x"], inputs["y"])


_BINARY: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add,
    "equal": torch.eq,
    "floor_div": torch.floor_divide,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "mul": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "sub": torch.sub,
}

OPS: Mapping[str, Op] = {
    **{name: _binary(compute) for name, compute in _BINARY.items()},
    "real_div": real_div,
}
