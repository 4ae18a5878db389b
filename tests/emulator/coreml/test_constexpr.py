"""Compressed constants: what programs compute with, against dense values made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import read

from edgepack.silence import quiet

with quiet():
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

_DRAW = np.random.default_rng(0)
_MASK = (_DRAW.random((4, 6)) > 0.5).astype(np.uint8)
_COUNT = int(_MASK.sum())
_INT4, _UINT4 = (types.nptype_from_builtin(each) for each in (types.int4, types.uint4))
_UINT1, _UINT2 = (types.nptype_from_builtin(each) for each in (types.uint1, types.uint2))


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of some bits, the lowest first, without gaps."""
    each = (codes.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(each.astype(np.uint8).ravel(), bitorder="little")


def _scattered(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    dense = np.zeros(mask.shape, np.float32)
    dense[mask != 0] = values
    return dense


def _held(make: Any, opset: int) -> np.ndarray:
    """The constant that `make` builds, as a program computes with it."""
    shape: list[tuple[int, ...]] = []

    def body(x: Any) -> Any:
        constant = make()
        shape.append(tuple(constant.shape))
        there = mb.cast(x=constant, dtype="fp32") if constant.dtype == types.fp16 else constant
        return mb.add(x=there, y=x)

    program = read(body, {"x": mb.placeholder(shape=(1,), dtype=types.fp32)}, opset)
    (ours,) = program.run({"x": np.zeros(1, np.float32)}).values()
    assert ours.shape == shape[0]
    return np.asarray(ours)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_affine(axis: int) -> None:
    codes = np.array([[-128, 0, 127], [5, -6, 7], [1, 2, 3]], np.int8)
    scale, zero = np.array([0.5, 0.25, 2], np.float32), np.array([-128, 3, 127], np.int8)
    across = (slice(None), None) if axis == 0 else (None, slice(None))
    ours = _held(
        lambda: mb.constexpr_affine_dequantize(quantized_data=codes, zero_point=zero, scale=scale, axis=axis),
        16,
    )
    assert np.array_equal(ours, (codes.astype(np.float32) - zero.astype(np.float32)[across]) * scale[across])


def test_cast() -> None:
    values = np.array([0.1, -65504, 3e-5], np.float16)
    ours = _held(lambda: mb.constexpr_cast(source_val=values, output_dtype="fp32"), 16)
    assert np.array_equal(ours, values.astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_palettes_of_ios_16(bits: int) -> None:
    codes = _DRAW.integers(0, 2**bits, (5, 7)).astype(np.uint8)
    table = _DRAW.standard_normal(2**bits).astype(np.float32)
    shape = np.array(codes.shape, np.uint32)
    ours = _held(lambda: mb.constexpr_lut_to_dense(indices=_packed(codes, bits), lut=table, shape=shape), 16)
    assert np.array_equal(ours, table[codes])


def test_sparse_of_ios_16() -> None:
    values = _DRAW.standard_normal(_COUNT).astype(np.float32)
    shape = np.array(_MASK.shape, np.uint32)
    ours = _held(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=_packed(_MASK, 1), shape=shape), 16
    )
    assert np.array_equal(ours, _scattered(values, _MASK))


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(_INT4, -8, 8), (_UINT4, 0, 16), (np.int8, -128, 128), (np.uint8, 0, 256)]
)
@pytest.mark.parametrize("shifted", [True, False])
def test_blocks(dtype: Any, low: int, high: int, shifted: bool) -> None:
    codes = _DRAW.integers(low, high, (4, 6))
    scale = _DRAW.random((2, 3)).astype(np.float32)
    offset = _DRAW.integers(low, high, (2, 3))
    chosen = {"offset": offset.astype(dtype)} if shifted else {}
    ours = _held(
        lambda: mb.constexpr_blockwise_shift_scale(data=codes.astype(dtype), scale=scale, **chosen), 18
    )
    whole_scale, whole_offset = (np.kron(each, np.ones((2, 2))) for each in (scale, offset * shifted))
    np.testing.assert_allclose(ours, (codes - whole_offset) * whole_scale, rtol=1e-6)


def test_palettes_of_groups() -> None:
    codes = _DRAW.integers(0, 4, (6, 2)).astype(_UINT2)
    table = _DRAW.standard_normal((2, 1, 4, 1)).astype(np.float32)
    ours = _held(lambda: mb.constexpr_lut_to_dense(indices=codes, lut=table), 18)
    expected = [[table[row // 3, 0, int(codes[row, column]), 0] for column in range(2)] for row in range(6)]
    assert np.array_equal(ours, np.array(expected, np.float32))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 3)])
def test_palettes_of_vectors(axis: int, groups: tuple[int, int]) -> None:
    codes = _DRAW.integers(0, 4, (4, 6)).astype(_UINT2)
    table = _DRAW.standard_normal((*groups, 4, 3)).astype(np.float32)
    ours = _held(lambda: mb.constexpr_lut_to_dense(indices=codes, lut=table, vector_axis=axis), 18)
    expected = np.zeros_like(ours)
    for row, column, part in np.ndindex(4, 6, 3):
        at = (3 * row + part, column) if axis in (0, -2) else (row, 3 * column + part)
        group = table[row * groups[0] // 4, column * groups[1] // 6]
        expected[at] = group[int(codes[row, column]), part]
    assert np.array_equal(ours, expected)


def test_sparse_palettes() -> None:
    codes = _DRAW.integers(0, 4, _COUNT).astype(_UINT2)
    table = _DRAW.standard_normal((1, 1, 4, 1)).astype(np.float32)

    def make() -> Any:
        mask, values = mb.constexpr_lut_to_sparse(
            indices_mask=_MASK.astype(_UINT1), indices_nonzero_data=codes, lut=table
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask)

    assert np.array_equal(_held(make, 18), _scattered(table.ravel()[codes.astype(int)], _MASK))


def test_sparse_palettes_of_vectors() -> None:
    codes = _DRAW.integers(0, 4, _COUNT).astype(_UINT2)
    table = _DRAW.standard_normal((1, 1, 4, 2)).astype(np.float32)

    def make() -> Any:
        mask, values = mb.constexpr_lut_to_sparse(
            indices_mask=_MASK.astype(_UINT1), indices_nonzero_data=codes, lut=table, vector_axis=0
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask)

    dense = np.zeros((8, 6), np.float32)
    for at, code in zip(np.argwhere(_MASK), codes.astype(int)):
        dense[2 * at[0] : 2 * at[0] + 2, at[1]] = table[0, 0, code]
    assert np.array_equal(_held(make, 18), dense)


def test_sparse_blocks_and_a_palette_that_is_quantized() -> None:
    codes = _DRAW.integers(-128, 128, _COUNT).astype(np.int8)
    scale = _DRAW.random((4, 1)).astype(np.float32)

    def sparse() -> Any:
        mask, values = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=_MASK.astype(_UINT1), nonzero_data=codes, scale=scale
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask)

    np.testing.assert_allclose(_held(sparse, 18), _scattered(codes, _MASK) * scale, rtol=1e-6)
    indices = _DRAW.integers(0, 4, (4, 6)).astype(_UINT2)
    table, step = np.array([-8, 1, 3, 7], np.int8).reshape(1, 1, 4, 1), np.full((1, 1, 1, 1), 0.5, np.float32)

    def palette() -> Any:
        lut = mb.constexpr_blockwise_shift_scale(data=table, scale=step)
        return mb.constexpr_lut_to_dense(indices=indices, lut=lut)

    assert np.array_equal(_held(palette, 18), 0.5 * table.ravel()[indices.astype(int)].astype(np.float32))
