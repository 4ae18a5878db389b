"""Resample 8-bit images without antialiasing, in Pillow's arithmetic.

Pillow always antialiases when it shrinks an image. This is its algorithm (src/libImaging/Resample.c: two
passes of a separable filter, along the width first, in fixed point of 22 bits, rounded to 8 bits after each
pass) with a filter that keeps its width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BITS = 22
_CUBIC = -0.5
_SUPPORT: dict[str, float] = {"bilinear": 1.0, "bicubic": 2.0}


def resized(image: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> NDArray[np.uint8]:
    """`image` ([H, W] or [H, W, C]) resized to `size` (width, height), by `bilinear` or `bicubic`."""
    wide, high = size
    if wide != image.shape[1]:
        image = _pass(image.swapaxes(0, 1), wide, interpolation).swapaxes(0, 1)
    if high != image.shape[0]:
        image = _pass(image, high, interpolation)
    return np.ascontiguousarray(image)


def _weights(size: int, count: int, interpolation: str) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each of `count` output positions: the first input position, and weights from there on, in 2^-22."""
    scale, support = size / count, _SUPPORT[interpolation]
    for place in range(count):
        center = (place + 0.5) * scale
        first = max(0, int(center - support + 0.5))
        end = min(size, int(center + support + 0.5))
        near = [_filter(n - center + 0.5, interpolation) for n in range(first, end)]
        total = sum(near)
        fixed = [weight / total * (1 << _BITS) for weight in near]
        yield first, np.array([int(weight + math.copysign(0.5, weight)) for weight in fixed], np.int64)


def _filter(x: float, interpolation: str) -> float:
    """The filter's weight at a distance of `x` pixels from its centre."""
    x = abs(x)
    if interpolation == "bilinear":
        return max(0.0, 1.0 - x)
    if x < 1.0:
        return ((_CUBIC + 2.0) * x - (_CUBIC + 3.0)) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * _CUBIC if x < 2.0 else 0.0


def _pass(image: NDArray[np.uint8], count: int, interpolation: str) -> NDArray[np.uint8]:
    """One pass along the first axis, to `count` rows."""
    rows = []
    for first, weights in _weights(len(image), count, interpolation):
        window = image[first : first + len(weights)].astype(np.int64)
        rows.append((np.tensordot(weights, window, axes=1) + (1 << (_BITS - 1))) >> _BITS)
    return np.clip(np.stack(rows), 0, 255).astype(np.uint8)
