"""Gathering and scattering in the evaluator, against NumPy, element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import agree, computed, drawn, same

from edgepack.errors import BundleError

_MODES: dict[str, Callable[[float, float], float]] = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
}


def _places(high: int, *shape: int, low: int = 0) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape).astype(np.int32)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1,)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_with_negative_places(shape: tuple[int, ...], axis: int) -> None:
    agree("gather", {"x": drawn(3, 3, 3), "indices": _places(3, *shape, low=-3)}, axis=axis)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2), st.integers(0, 3), st.integers(1, 2), st.sampled_from([16, 17]))
def test_gather_shares_its_batch(batch: int, axis: int, more: int, opset: int) -> None:
    axis = max(axis, batch)
    indices = _places(2, *(2, 3)[:batch], *[4] * more)
    agree("gather", {"x": drawn(2, 3, 2, 4), "indices": indices}, opset, axis=axis, batch_dims=batch)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [15, 17])
def test_gather_along_axis(axis: int, opset: int) -> None:
    shape = [3, 4, 2]
    shape[axis] = 5
    agree("gather_along_axis", {"x": drawn(3, 4, 2), "indices": _places(2, *shape)}, opset, axis=axis)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gather_nd(depth: int) -> None:
    x, indices = drawn(3, 3, 3), _places(3, 4, 2, depth)
    same(computed("gather_nd", {"x": x, "indices": indices})[0], x[tuple(np.moveaxis(indices, -1, 0))])


def test_gather_nd_shares_its_batch() -> None:
    x, indices = drawn(2, 3, 4, 5), _places(3, 2, 6, 2)
    expected = np.stack([x[item][tuple(indices[item].T)] for item in range(2)])
    same(computed("gather_nd", {"x": x, "indices": indices}, 16, batch_dims=1)[0], expected)


def _apart(mode: str) -> np.ndarray:
    """Places that may repeat, where the order of the updates does not matter."""
    return np.array([2, 0, 1], np.int32) if mode == "update" else np.array([2, 0, 2], np.int32)


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("axis", [0, -1])
def test_scatter(mode: str, axis: int) -> None:
    data, indices = drawn(4, 5, 4), _apart(mode)
    updates = np.abs(drawn(*([3, 5, 4] if axis == 0 else [4, 5, 3]), seed=1)) + 0.5
    expected = np.moveaxis(data.copy(), axis, 0)
    for place, update in zip(indices, np.moveaxis(updates, axis, 0)):
        expected[place] = np.vectorize(_MODES[mode])(expected[place], update)
    inputs = {"data": data, "indices": indices, "updates": updates}
    same(computed("scatter", inputs, axis=axis, mode=mode)[0], np.moveaxis(expected, 0, axis))


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_along_axis(mode: str, axis: int) -> None:
    data = drawn(4, 4)
    indices = np.stack([np.roll(_apart(mode), at) for at in range(4)])
    indices = indices.T.copy() if axis == 0 else indices
    updates, expected = np.abs(drawn(*indices.shape, seed=1)) + 0.5, data.copy()
    for at in np.ndindex(*indices.shape):
        place = (indices[at], at[1]) if axis == 0 else (at[0], indices[at])
        expected[place] = _MODES[mode](expected[place], updates[at])
    inputs = {"data": data, "indices": indices, "updates": updates}
    same(computed("scatter_along_axis", inputs, axis=axis, mode=mode)[0], expected)


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_scatter_nd(mode: str, dtype: type) -> None:
    if dtype is np.int32 and mode == "div":
        pytest.skip("what a fraction becomes is not documented")
    data: np.ndarray = (drawn(3, 4, 2) * 9).astype(dtype)
    indices = np.array([[0, 1], [2, 3], [0, 1 if mode != "update" else 2]], np.int32)
    updates, expected = (np.abs(drawn(3, 2, seed=1)) * 5 + 1).astype(dtype), data.copy()
    for place, update in zip(indices, updates):
        expected[tuple(place)] = np.vectorize(_MODES[mode])(expected[tuple(place)], update)
    same(
        computed("scatter_nd", {"data": data, "indices": indices, "updates": updates}, mode=mode)[0], expected
    )


def test_a_place_outside_is_an_error_where_it_is_checked() -> None:
    inputs = {"x": drawn(3, 2), "indices": np.array([0, 3], np.int32)}
    with pytest.raises(BundleError, match=r"gather.*outside of \[-3, 3\)"):
        computed("gather", inputs)
    with pytest.raises(BundleError, match=r"outside of \[0, 3\)"):
        computed("gather", inputs, 17, validate_indices=True)
    with pytest.raises(BundleError, match=r"outside of \[0, 3\)"):
        computed("gather", {**inputs, "indices": np.array([-1], np.int32)}, 17, validate_indices=True)
    assert np.isfinite(computed("gather", inputs, 17, validate_indices=False)[0]).all()
