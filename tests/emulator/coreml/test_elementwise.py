"""Operations on elements in the evaluator, against NumPy and coremltools' value inference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from programs import given, read
from single_op import agree, computed, drawn

from edgepack.emulator.coreml import ops
from edgepack.silence import quiet

with quiet():
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

_UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "abs": np.abs, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "atanh": np.arctanh,
    "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "erf": np.vectorize(math.erf, otypes=[float]),
    "exp": np.exp, "exp2": np.exp2,
    "floor": np.floor, "round": np.round, "sign": np.sign, "sin": np.sin, "sinh": np.sinh,
    "sqrt": np.sqrt, "square": np.square, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
_POSITIVE = {"sqrt"}
_WITHIN_ONE = {"acos", "asin", "atanh"}
_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal,
}  # fmt: skip
_DIVISIONS = {"floor_div": np.floor_divide, "mod": np.mod}
_LOGICAL = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}
_FEW = settings(max_examples=25, deadline=None)
_SHAPES = arrays.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)


def _of(kind: str, **inputs: np.ndarray) -> np.ndarray:
    """An operation on arrays."""
    result = ops.table()[kind](given(**{name: torch.from_numpy(np.array(x)) for name, x in inputs.items()}))
    assert isinstance(result, torch.Tensor)
    return result.numpy()


def _floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32, allow_subnormal=False)


@pytest.mark.parametrize("kind", _UNARY)
@_FEW
@drawn_from(data=st.data())
def test_one_tensor(kind: str, data: st.DataObject) -> None:
    low, high = (-0.875, 0.875) if kind in _WITHIN_ONE else (0, 8) if kind in _POSITIVE else (-8, 8)
    shape = arrays.array_shapes(min_dims=0, max_dims=5, max_side=3)
    x = data.draw(arrays.arrays(np.float32, shape, elements=_floats(low, high)))
    expected = _UNARY[kind](x.astype(np.float64))
    np.testing.assert_allclose(_of(kind, x=x), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", _BINARY)
@_FEW
@drawn_from(data=st.data())
def test_two_tensors_broadcast(kind: str, data: st.DataObject) -> None:
    whole = data.draw(st.booleans())
    elements = st.integers(-50, 50) if whole else _floats(-8, 8)
    dtype = np.int32 if whole else np.float32
    x, y = (
        data.draw(arrays.arrays(dtype, shape, elements=elements)) for shape in data.draw(_SHAPES).input_shapes
    )
    ours, expected = _of(kind, x=x, y=y), _BINARY[kind](x, y)
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", _DIVISIONS)
@_FEW
@drawn_from(data=st.data())
def test_division_rounds_down_and_its_rest_has_the_divisors_sign(kind: str, data: st.DataObject) -> None:
    """In quarters, whose quotients floats hold exactly."""
    dtype = data.draw(st.sampled_from([np.int32, np.float32]))
    x, y = (data.draw(arrays.arrays(np.int32, 6, elements=st.integers(-40, 40))) for _ in range(2))
    y[y == 0] = 3
    a, b = (each.astype(dtype) / dtype(1 if dtype == np.int32 else 4) for each in (x, y))
    a, b = a.astype(dtype), b.astype(dtype)
    np.testing.assert_allclose(_of(kind, x=a, y=b), _DIVISIONS[kind](a, b), atol=1e-6)


@pytest.mark.parametrize("kind", _LOGICAL)
@_FEW
@drawn_from(data=st.data())
def test_flags(kind: str, data: st.DataObject) -> None:
    x, y = (data.draw(arrays.arrays(np.bool_, shape)) for shape in data.draw(_SHAPES).input_shapes)
    assert np.array_equal(_of(kind, x=x, y=y), _LOGICAL[kind](x, y))
    assert np.array_equal(_of("logical_not", x=x), ~x)


def test_division_of_whole_numbers_rounds_towards_zero() -> None:
    x, y = np.array([7, -7, 7, -7], np.int32), np.array([2, 2, -2, -2], np.int32)
    assert _of("real_div", x=x, y=y).tolist() == [3, -3, -3, 3]
    assert _of("real_div", x=x.astype(np.float32), y=y.astype(np.float32)).tolist() == [3.5, -3.5, -3.5, 3.5]


@pytest.mark.parametrize("opset", [15, 17])
def test_with_settings_of_their_own(opset: int) -> None:
    x = {"x": np.abs(drawn(3, 4)) + np.float32(0.1)}
    for kind in ("inverse", "log", "rsqrt"):
        agree(kind, x, opset)
        agree(kind, x, opset, epsilon=np.float32(0.5))
    agree("clip", {"x": drawn(3, 4)}, opset, alpha=np.float32(-0.5), beta=np.float32(0.25))
    agree("threshold", {"x": drawn(3, 4)}, opset, alpha=np.float32(0.25))
    agree("pow", {"x": np.abs(drawn(2, 3)), "y": drawn(3, seed=1)}, opset)


@pytest.mark.parametrize(
    ("kind", "values"), [("exp2", [0, 1, 5]), ("sign", [-4, 0, 3]), ("square", [-4, 0, 3])]
)
def test_whole_numbers_stay_whole(kind: str, values: list[int]) -> None:
    (ours,) = computed(kind, {"x": np.array(values, np.int32)})
    assert ours.dtype == np.int32
    assert ours.tolist() == [int({"exp2": 2.0**v, "sign": np.sign(v), "square": v * v}[kind]) for v in values]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int32", [-2, 0, 1, 3, 100]),
        ("int8", [-2, 0, 1, 3, 100]),
        ("int16", [-2, 0, 1, 3, 100]),
        ("bool", [1, 0, 1, 1, 1]),
        ("fp32", [-2.5, 0, 1.5, 3.99, 100.03]),
        ("fp16", [-2.5, 0, 1.5, 3.990234375, 100.0]),
    ],
)
def test_cast(dtype: str, expected: list[float]) -> None:
    x = np.array([-2.5, 0, 1.5, 3.99, 100.03], np.float32)

    def body(x: Any) -> Any:
        there = mb.cast(x=x, dtype=dtype)
        return there if dtype == "int32" else mb.cast(x=there, dtype="fp32")

    program = read(body, {"x": mb.placeholder(shape=x.shape, dtype=types.fp32)}, 17)
    (ours,) = program.run({"x": x}).values()
    np.testing.assert_allclose(ours, np.array(expected, np.float32))


def test_unsigned_numbers_of_16_bits_wrap() -> None:
    def body(x: Any) -> Any:
        return mb.cast(x=mb.cast(x=x, dtype="uint16"), dtype="int32")

    program = read(body, {"x": mb.placeholder(shape=(3,), dtype=types.int32)}, 17)
    (ours,) = program.run({"x": np.array([5, 40000, 65536 + 7], np.int32)}).values()
    assert ours.tolist() == [5, 40000, 7]
