"""Pools in the evaluator against torch's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from single_op import Constants, computed, drawn, same
from torch.nn import functional

_AVERAGE: tuple[Callable[..., torch.Tensor], ...] = (
    functional.avg_pool1d,
    functional.avg_pool2d,
    functional.avg_pool3d,
)
_MAXIMUM: tuple[Callable[..., torch.Tensor], ...] = (
    functional.max_pool1d,
    functional.max_pool2d,
    functional.max_pool3d,
)
Case: TypeAlias = dict[str, Any]


def _sizes(draw: st.DrawFn, count: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))


@st.composite
def _windows(draw: st.DrawFn) -> Case:
    dims = draw(st.integers(1, 3))
    kernel = _sizes(draw, dims, 1, 4)
    return {
        "x": torch.from_numpy(drawn(2, 3, *_sizes(draw, dims, 4, 9))),
        "kernel": kernel,
        "strides": _sizes(draw, dims, 1, 3),
        "pad": [draw(st.integers(0, size // 2)) for size in kernel],
        "ceil": dims < 3 and draw(st.booleans()),
        "inside": draw(st.booleans()),
    }


def _constants(case: Case) -> Constants:
    return {
        "kernel_sizes": case["kernel"],
        "strides": case["strides"],
        "pad_type": "custom",
        "pad": [each for each in case["pad"] for _ in range(2)],
        "ceil_mode": case["ceil"],
    }


def _unlike_torch(case: Case) -> bool:
    """Whether a last window would lie outside: torch drops it without padding too, coremltools keeps it."""
    return case["ceil"] and any(k < s for k, s in zip(case["kernel"], case["strides"]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(_windows())
def test_max_pool(case: Case) -> None:
    assume(not _unlike_torch(case))
    x = case["x"]
    expected = _MAXIMUM[x.dim() - 3](x, case["kernel"], case["strides"], case["pad"], ceil_mode=case["ceil"])
    same(computed("max_pool", {"x": x.numpy()}, **_constants(case))[0], expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(_windows())
def test_avg_pool_with_and_without_its_padding(case: Case) -> None:
    assume(not _unlike_torch(case))
    x = case["x"]
    moves = case["kernel"], case["strides"], case["pad"], case["ceil"], not case["inside"]
    ours = computed(
        "avg_pool", {"x": x.numpy()}, exclude_padding_from_average=case["inside"], **_constants(case)
    )
    same(ours[0], _AVERAGE[x.dim() - 3](x, *moves))


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 8, 7)])
def test_l2_pool_is_the_root_of_the_sum_of_squares(shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(drawn(*shape))
    constants: Constants = {
        "kernel_sizes": [3] * (x.dim() - 2),
        "strides": [2] * (x.dim() - 2),
        "pad_type": "valid",
    }
    windows = x.unfold(2, 3, 2) if x.dim() == 3 else x.unfold(2, 3, 2).unfold(3, 3, 2).flatten(-2)
    same(computed("l2_pool", {"x": x.numpy()}, **constants)[0], windows.norm(dim=-1))


@pytest.mark.parametrize("kind", ["same", "same_lower"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 4, 2), (8, 3, 2), (5, 2, 1), (6, 5, 3)])
def test_same_padding_gives_an_output_for_each_stride(size: int, kernel: int, stride: int, kind: str) -> None:
    x = torch.from_numpy(drawn(1, 2, size))
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    less, more = total // 2, total - total // 2
    pair = (less, more) if kind == "same" else (more, less)
    constants: Constants = {"kernel_sizes": [kernel], "strides": [stride], "pad_type": kind}
    greatest = functional.pad(x, pair, value=-math.inf).unfold(-1, kernel, stride).amax(-1)
    assert greatest.shape[-1] == count
    same(computed("max_pool", {"x": x.numpy()}, 16, **constants)[0], greatest)
    mean = functional.pad(x, pair, value=math.nan).unfold(-1, kernel, stride).nanmean(-1)
    ours = computed("avg_pool", {"x": x.numpy()}, 16, exclude_padding_from_average=True, **constants)
    same(ours[0], mean)


def test_padding_differs_at_both_ends() -> None:
    x = torch.from_numpy(drawn(1, 1, 6))
    constants: Constants = {"kernel_sizes": [3], "strides": [2], "pad_type": "custom", "pad": [0, 2]}
    expected = functional.pad(x, (0, 2)).unfold(-1, 3, 2).mean(-1)
    same(computed("avg_pool", {"x": x.numpy()}, **constants)[0], expected)
    greatest = functional.pad(x, (0, 2), value=-math.inf).unfold(-1, 3, 2).amax(-1)
    same(computed("max_pool", {"x": x.numpy()}, **constants)[0], greatest)


def test_ceil_mode_drops_a_window_that_begins_in_the_padding_behind() -> None:
    x = torch.from_numpy(drawn(1, 1, 3))
    constants: Constants = {
        "kernel_sizes": [2],
        "strides": [2],
        "pad_type": "custom",
        "pad": [1, 1],
        "ceil_mode": True,
    }
    expected = functional.max_pool1d(x, 2, 2, 1, ceil_mode=True)
    assert expected.shape[-1] == 2
    same(computed("max_pool", {"x": x.numpy()}, **constants)[0], expected)
