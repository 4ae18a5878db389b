"""Pooling in 1 to 3 dimensions: x is [n, channels, *sizes]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op
from edgepack.emulator.coreml.window import Pairs, flat, pads

_AVERAGE: Mapping[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
_MAXIMUM: Mapping[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}


def max_pool(inputs: Inputs) -> Tensor:
    """The maximum of each window; padding is -∞."""
    pairs, overhang = _paddings(inputs)
    return _pooled(inputs, _MAXIMUM, _padded(_padded(inputs["x"], pairs, -math.inf), overhang, -math.inf))


def avg_pool(inputs: Inputs) -> Tensor:
    """The mean of each window, with or without the padding, but without the overhang of `ceil_mode`."""
    pairs, overhang = _paddings(inputs)
    x = inputs["x"]
    means = _pooled(inputs, _AVERAGE, _padded(_padded(x, pairs, 0), overhang, 0))
    outside = not inputs.flag("exclude_padding_from_average")
    if not _any(overhang) and (outside or not _any(pairs)):
        return means
    inside = _padded(x.new_ones(1, 1, *x.shape[2:]), pairs, float(outside))
    return means / _pooled(inputs, _AVERAGE, _padded(inside, overhang, 0))


def l2_pool(inputs: Inputs) -> Tensor:
    """The Euclidean norm of each window."""
    pairs, overhang = _paddings(inputs)
    squares = _padded(_padded(inputs["x"].square(), pairs, 0), overhang, 0)
    return (_pooled(inputs, _AVERAGE, squares) * math.prod(inputs.ints("kernel_sizes"))).sqrt()


def _paddings(inputs: Inputs) -> tuple[Pairs, Pairs]:
    """The padding of the program, and the overhang of the last windows with `ceil_mode`."""
    sizes, kernel, strides = inputs["x"].shape[2:], inputs.ints("kernel_sizes"), inputs.ints("strides")
    pairs = pads(inputs, sizes, kernel, strides)
    if not inputs.flag("ceil_mode"):
        return pairs, [(0, 0)] * len(pairs)
    return pairs, [(0, _overhang(*each)) for each in zip(sizes, pairs, kernel, strides)]


def _overhang(size: int, pair: tuple[int, int], kernel: int, stride: int) -> int:
    """Elements that the last window overhangs. A window that starts in the padding at the end is dropped."""
    padding = pair[0] + pair[1]
    full = size + padding
    steps = -(-(full - kernel) // stride)
    if steps * stride >= size + pair[0] and padding:
        steps -= 1
    return max(0, steps * stride + kernel - full)


def _padded(x: Tensor, pairs: Pairs, value: float) -> Tensor:
    return functional.pad(x, flat(pairs), value=value) if _any(pairs) else x


def _pooled(inputs: Inputs, pool: Mapping[int, Callable[..., Tensor]], x: Tensor) -> Tensor:
    kernel: Sequence[int] = inputs.ints("kernel_sizes")
    return pool[len(kernel)](x, kernel, inputs.ints("strides"))


def _any(pairs: Pairs) -> bool:
    return any(map(any, pairs))


OPS: Mapping[str, Op] = {"avg_pool": avg_pool, "l2_pool": l2_pool, "max_pool": max_pool}
