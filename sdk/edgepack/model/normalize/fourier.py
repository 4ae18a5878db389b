"""Discrete Fourier transforms of real and complex values as products with fixed matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from edgepack.graph.layers import ATEN
from edgepack.model.normalize.emitter import Emitter

MOST = 4 * 1024 * 1024
"""Elements of a matrix: larger transforms stay as they are."""


@dataclass(frozen=True)
class Pair:
    """A complex value as two real ones."""

    re: Node
    im: Node | None
    """None for a real value."""


def scale(norm: str | None, size: int, *, inverse: bool) -> float:
    """The factor of a transform of `size`, by torch's name of a normalization."""
    if norm == "ortho":
        return 1 / math.sqrt(size)
    return 1 / size if inverse == (norm != "forward") else 1.0


def bases(rows: int, columns: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2π·row·column/size, each [rows, columns], exact to float32."""
    product = torch.arange(rows, dtype=torch.int64)[:, None] * torch.arange(columns, dtype=torch.int64)
    angle = (product % size).to(torch.float64) * (2 * math.pi / size)
    return angle.cos(), angle.sin()


def transform(emit: Emitter, value: Pair, size: int, dim: int, norm: str | None, *, inverse: bool) -> Pair:
    """fft or ifft over `dim`, with `size` values."""
    given = _rows(value, dim, size)
    cos, sin = (each * scale(norm, size, inverse=inverse) for each in bases(given, size, size))
    return _product(emit, value, given, dim, cos, sin if inverse else -sin)


def half_transform(emit: Emitter, value: Pair, size: int, dim: int, norm: str | None) -> Pair:
    """rfft over `dim`, with `size` values."""
    given = _rows(value, dim, size)
    cos, sin = (each * scale(norm, size, inverse=False) for each in bases(given, size // 2 + 1, size))
    return _product(emit, value, given, dim, cos, -sin)


def inverse_half_transform(emit: Emitter, value: Pair, size: int, dim: int, norm: str | None) -> Node:
    """irfft over `dim`, which gives `size` values."""
    given = _rows(value, dim, size // 2 + 1)
    cos, sin = inverse_bases(given, size)
    factor = scale(norm, size, inverse=True)
    return _product(emit, value, given, dim, cos * factor, sin * factor).re


def inverse_bases(rows: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the inverse of a half transform: each frequency but the first and last is twice."""
    twice = torch.full((rows, 1), 2.0, dtype=torch.float64)
    twice[0] = 1
    if size % 2 == 0 and rows == size // 2 + 1:
        twice[-1] = 1
    cos, sin = bases(rows, size, size)
    return cos * twice, sin * twice


def _rows(value: Pair, dim: int, most: int) -> int:
    """How many values along `dim` a transform reads: missing ones are zero, others are left out."""
    return min(int(value.re.meta["val"].shape[dim]), most)


def _product(emit: Emitter, value: Pair, rows: int, dim: int, cos: Tensor, sin: Tensor) -> Pair:
    """`value` times cos + i·sin, over `rows` values along `dim`."""
    real, imaginary = emit.constant(cos.float()), emit.constant(sin.float())

    def times(part: Node, matrix: Node) -> Node:
        moved = emit(ATEN.transpose.int, part, dim, -1)
        if int(moved.meta["val"].shape[-1]) > rows:
            moved = emit(ATEN.slice.Tensor, moved, -1, 0, rows)
        return emit(ATEN.transpose.int, emit(ATEN.matmul.default, moved, matrix), dim, -1)

    re, im = times(value.re, real), times(value.re, imaginary)
    if value.im is None:
        return Pair(re, im)
    return Pair(
        emit(ATEN.sub.Tensor, re, times(value.im, imaginary)),
        emit(ATEN.add.Tensor, im, times(value.im, real)),
    )


def window_of(window: Tensor | None, length: int, size: int) -> Tensor:
    """A window of `length` values, in the middle of `size` values."""
    values = torch.ones(length) if window is None else window
    before = (size - length) // 2
    return torch.nn.functional.pad(values.double(), (before, size - length - before))


def stft(
    emit: Emitter, value: Node, size: int, hop: int, window: Tensor, *, normalized: bool, columns: int
) -> Pair:
    """torch.stft of real [length] or [batch, length] as a convolution: two of [batch, columns, frames]."""
    cos, sin = bases(columns, size, size)
    factor = 1 / math.sqrt(size) if normalized else 1.0
    kernel = torch.cat([cos, -sin]) * window * factor
    is_flat = value.meta["val"].dim() == 1
    row = emit(ATEN.unsqueeze.default, emit(ATEN.unsqueeze.default, value, 0) if is_flat else value, 1)
    both = emit(ATEN.conv1d.default, row, emit.constant(kernel.float()[:, None]), None, [hop])
    both = emit(ATEN.squeeze.dim, both, 0) if is_flat else both
    axis = 0 if is_flat else 1
    parts = (emit(ATEN.slice.Tensor, both, axis, begin, begin + columns) for begin in (0, columns))
    return Pair(*parts)


def istft(
    emit: Emitter, value: Pair, size: int, hop: int, window: Tensor, *, normalized: bool, cut: tuple[int, int]
) -> Node:
    """torch.istft of [frequencies, frames] or [batch, frequencies, frames] as a transposed convolution.

    `cut`: the first sample that is kept, and the one after the last.
    """
    assert value.im is not None
    is_flat = value.re.meta["val"].dim() == 2
    rows, frames = (int(length) for length in value.re.meta["val"].shape[-2:])
    cos, sin = inverse_bases(rows, size)
    factor = 1 / math.sqrt(size) if normalized else 1 / size
    kernel = torch.cat([cos, -sin]) * window * factor
    both = emit(ATEN.cat.default, [value.re, value.im], 0 if is_flat else 1)
    both = emit(ATEN.unsqueeze.default, both, 0) if is_flat else both
    added = emit(ATEN.conv_transpose1d.default, both, emit.constant(kernel.float()[:, None]), None, [hop])
    weight = torch.nn.functional.conv_transpose1d(
        torch.ones(1, 1, frames, dtype=torch.float64), (window**2)[None, None], stride=hop
    )
    kept = emit(ATEN.slice.Tensor, added, -1, *cut)
    envelope = weight[..., cut[0] : cut[1]].clamp_min(1e-11)
    divided = emit(ATEN.mul.Tensor, kept, emit.constant((1 / envelope).float()))
    flat = emit(ATEN.squeeze.dim, divided, 1)
    return emit(ATEN.squeeze.dim, flat, 0) if is_flat else flat
