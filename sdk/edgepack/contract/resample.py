"""Resampling of 8-bit pictures without antialiasing, in the arithmetic of Pillow, which has none such.

Source: Pillow, src/libImaging/Resample.c (two passes of a separable filter, along the width first, in
fixed point of 22 bits, rounded to 8 bits after each); here the filter keeps its width as a picture shrinks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Interpolation = Literal["bilinear", "bicubic"]
_BITS = 22
_CUBIC = -0.5
_SUPPORT: dict[Interpolation, float] = {"bilinear": 1.0, "bicubic": 2.0}


def resized(
    picture: NDArray[np.uint8], size: tuple[int, int], interpolation: Interpolation
) -> NDArray[np.uint8]:
    """`picture` ([H, W] or [H, W, C]) in a `size` of width and height."""
    wide, high = size
    if wide != picture.shape[1]:
        picture = _pass(picture.swapaxes(0, 1), wide, interpolation).swapaxes(0, 1)
    if high != picture.shape[0]:
        picture = _pass(picture, high, interpolation)
    return np.ascontiguousarray(picture)


def _weights(size: int, wanted: int, interpolation: Interpolation) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each of `wanted` positions, the first of `size` that counts, and the weights, in 2^-22."""
    scale, support = size / wanted, _SUPPORT[interpolation]
    for place in range(wanted):
        center = (place + 0.5) * scale
        first = max(0, int(center - support + 0.5))
        end = min(size, int(center + support + 0.5))
        near = [_filtered(each - center + 0.5, interpolation) for each in range(first, end)]
        total = sum(near)
        fixed = [each / total * (1 << _BITS) for each in near]
        yield first, np.array([int(each + math.copysign(0.5, each)) for each in fixed], np.int64)


def _filtered(x: float, interpolation: Interpolation) -> float:
    x = abs(x)
    if interpolation == "bilinear":
        return max(0.0, 1.0 - x)
    if x < 1.0:
        return ((_CUBIC + 2.0) * x - (_CUBIC + 3.0)) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * _CUBIC if x < 2.0 else 0.0


def _pass(picture: NDArray[np.uint8], wanted: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """One pass along the first axis."""
    rows = []
    for first, each in _weights(len(picture), wanted, interpolation):
        window = picture[first : first + len(each)].astype(np.int64)
        rows.append((np.tensordot(each, window, axes=1) + (1 << (_BITS - 1))) >> _BITS)
    return np.clip(np.stack(rows), 0, 255).astype(np.uint8)
