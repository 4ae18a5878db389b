"""Reductions in the evaluator against coremltools' value inference."""

from __future__ import annotations

import numpy as np
import pytest
from single_op import agree, computed, drawn, same

_KINDS = ("l1_norm", "l2_norm", "log_sum_exp", "max", "mean", "min", "prod", "sum", "sum_square")
_AXES = ([0], [-1], [1, 2], [-3, 2], [0, 1, 2])


@pytest.mark.parametrize("kind", _KINDS)
def test_over_axes(kind: str) -> None:
    for axes in _AXES:
        for keep in (True, False):
            agree(f"reduce_{kind}", {"x": drawn(2, 3, 4)}, axes=axes, keep_dims=keep)


@pytest.mark.parametrize("kind", _KINDS)
def test_over_all_axes_by_default(kind: str) -> None:
    same(
        computed(f"reduce_{kind}", {"x": drawn(2, 3)})[0].reshape(-1), _by_hand(kind, drawn(2, 3)).reshape(-1)
    )


def _by_hand(kind: str, x: np.ndarray) -> np.ndarray:
    known = {
        "l1_norm": np.abs(x).sum(),
        "l2_norm": np.sqrt((x**2).sum()),
        "log_sum_exp": np.log(np.exp(x).sum()),
        "sum_square": (x**2).sum(),
    }
    return np.asarray(known[kind] if kind in known else getattr(np, kind)(x))


@pytest.mark.parametrize("kind", [*_KINDS, "log_sum"])
def test_whole_numbers_stay_whole(kind: str) -> None:
    x = np.random.default_rng(0).integers(1, 9, (2, 3, 4)).astype(np.int32)
    for axes in _AXES:
        agree(f"reduce_{kind}", {"x": x}, axes=axes, keep_dims=True)


def test_log_sum() -> None:
    x = np.abs(drawn(2, 3, 4)) + 0.1
    agree("reduce_log_sum", {"x": x}, axes=[1], keep_dims=False)


def test_log_sum_exp_neither_overflows_nor_underflows() -> None:
    x = np.array([[1000.0, 1000.0], [-1000.0, -1000.0]], np.float32)
    same(computed("reduce_log_sum_exp", {"x": x}, axes=[1])[0], np.array([1000.6931, -999.3069]))


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_arg_of_the_extreme(kind: str, dtype: type, axis: int) -> None:
    x: np.ndarray = np.random.default_rng(0).permutation(24).reshape(2, 3, 4).astype(dtype)
    for keep in (True, False):
        expected = np.expand_dims(getattr(np, kind)(x, axis), axis) if keep else getattr(np, kind)(x, axis)
        (ours,) = computed(f"reduce_{kind}", {"x": x}, axis=axis, keep_dims=keep)
        assert ours.dtype == np.int32
        same(ours, expected)
    (short,) = computed(f"reduce_{kind}", {"x": x}, 17, axis=axis, output_dtype="uint16")
    same(short, getattr(np, kind)(x, axis))
