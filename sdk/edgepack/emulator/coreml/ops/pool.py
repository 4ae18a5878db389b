"""Pools over 1 to 3 dimensions: x of [n, channels, *sizes]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op
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


def max_pool(given: Given) -> Tensor:
    """The greatest of each window; padding never wins."""
    pairs, overhang = _paddings(given)
    return _pooled(given, _MAXIMUM, _padded(_padded(given["x"], pairs, -math.inf), overhang, -math.inf))


def avg_pool(given: Given) -> Tensor:
    """The mean of each window, with or without the padding; never of what `ceil_mode` lets overhang."""
    pairs, overhang = _paddings(given)
    x = given["x"]
    means = _pooled(given, _AVERAGE, _padded(_padded(x, pairs, 0), overhang, 0))
    outside = not given.flag("exclude_padding_from_average")
    if not _any(overhang) and (outside or not _any(pairs)):
        return means
    inside = _padded(x.new_ones(1, 1, *x.shape[2:]), pairs, float(outside))
    return means / _pooled(given, _AVERAGE, _padded(inside, overhang, 0))


def l2_pool(given: Given) -> Tensor:
    """The root of the sum of squares of each window."""
    pairs, overhang = _paddings(given)
    squares = _padded(_padded(given["x"].square(), pairs, 0), overhang, 0)
    return (_pooled(given, _AVERAGE, squares) * math.prod(given.ints("kernel_sizes"))).sqrt()


def _paddings(given: Given) -> tuple[Pairs, Pairs]:
    """What the program pads, and what `ceil_mode` lets the last windows overhang."""
    sizes, kernel, strides = given["x"].shape[2:], given.ints("kernel_sizes"), given.ints("strides")
    pairs = pads(given, sizes, kernel, strides)
    if not given.flag("ceil_mode"):
        return pairs, [(0, 0)] * len(pairs)
    return pairs, [(0, _overhang(*each)) for each in zip(sizes, pairs, kernel, strides)]


def _overhang(size: int, pair: tuple[int, int], kernel: int, stride: int) -> int:
    """Elements that the last window lacks, where a window that begins in the padding behind is dropped."""
    padding = pair[0] + pair[1]
    full = size + padding
    steps = -(-(full - kernel) // stride)
    if steps * stride >= size + pair[0] and padding:
        steps -= 1
    return max(0, steps * stride + kernel - full)


def _padded(x: Tensor, pairs: Pairs, value: float) -> Tensor:
    return functional.pad(x, flat(pairs), value=value) if _any(pairs) else x


def _pooled(given: Given, pool: Mapping[int, Callable[..., Tensor]], x: Tensor) -> Tensor:
    kernel: Sequence[int] = given.ints("kernel_sizes")
    return pool[len(kernel)](x, kernel, given.ints("strides"))


def _any(pairs: Pairs) -> bool:
    return any(map(any, pairs))


OPS: Mapping[str, Op] = {"avg_pool": avg_pool, "l2_pool": l2_pool, "max_pool": max_pool}
