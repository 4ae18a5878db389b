"""Convolutions in the evaluator against torch's own, padded by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import given as handed
from single_op import Constants, computed, drawn, same
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml import ops

_CONV: tuple[Callable[..., Tensor], ...] = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED: tuple[Callable[..., Tensor], ...] = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
Case: TypeAlias = dict[str, Any]


def _arrays(x: Tensor, weight: Tensor) -> dict[str, np.ndarray]:
    return {"x": x.numpy(), "weight": weight.numpy()}


def _sizes(draw: st.DrawFn, count: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    dims = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 4]))
    return {
        "x": torch.from_numpy(drawn(draw(st.integers(1, 2)), 4, *_sizes(draw, dims, 5, 8))),
        "weight": torch.from_numpy(
            drawn(4 * draw(st.integers(1, 2)), 4 // groups, *_sizes(draw, dims, 1, 3), seed=1)
        ),
        "groups": groups,
        "strides": _sizes(draw, dims, 1, 3),
        "dilations": _sizes(draw, dims, 1, 2),
        "pad": draw(st.lists(st.integers(0, 2), min_size=2 * dims, max_size=2 * dims)),
        "bias": draw(st.booleans()),
    }


@settings(max_examples=30, deadline=None, derandomize=True)
@given(_cases())
def test_conv_with_custom_padding(case: Case) -> None:
    x, weight = case["x"], case["weight"]
    bias = torch.arange(float(len(weight))) if case["bias"] else None
    inside: list[Any] = [
        slice(front, -behind or None) for front, behind in zip(case["pad"][::2], case["pad"][1::2])
    ]
    sizes = [n + f + b for n, f, b in zip(x.shape[2:], case["pad"][::2], case["pad"][1::2])]
    padded = torch.zeros(*x.shape[:2], *sizes)
    padded[(..., *inside)] = x
    expected = _CONV[x.dim() - 3](padded, weight, bias, case["strides"], 0, case["dilations"], case["groups"])
    constants: Constants = {name: case[name] for name in ("strides", "dilations", "groups", "pad")}
    constants |= {} if bias is None else {"bias": bias.numpy()}
    ours = computed("conv", {"x": x.numpy()}, weight=weight.numpy(), pad_type="custom", **constants)
    same(ours[0], expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8])
def test_conv_same_puts_the_odd_element_behind_and_same_lower_in_front(size: int, stride: int) -> None:
    x, weight = torch.from_numpy(drawn(1, 2, size)), torch.from_numpy(drawn(3, 2, 4, seed=1))
    total = max((-(-size // stride) - 1) * stride + 4 - size, 0)
    less, more = total // 2, total - total // 2
    for kind, pair in (("same", (less, more)), ("same_lower", (more, less))):
        expected = functional.conv1d(functional.pad(x, pair), weight, stride=stride)
        assert expected.shape[-1] == -(-size // stride)
        same(computed("conv", _arrays(x, weight), 16, pad_type=kind, strides=[stride])[0], expected)


def test_conv_by_default_has_no_padding_and_steps_by_one() -> None:
    x, weight = torch.from_numpy(drawn(1, 2, 5, 6)), torch.from_numpy(drawn(3, 2, 3, 2, seed=1))
    same(computed("conv", _arrays(x, weight))[0], functional.conv2d(x, weight))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(_cases())
def test_conv_transpose_with_custom_padding_cuts_what_torch_gives(case: Case) -> None:
    x = case["x"]
    weight = torch.from_numpy(drawn(4, 2, *case["weight"].shape[2:], seed=1))
    bias = torch.arange(2.0 * case["groups"]) if case["bias"] else None
    moves = case["strides"], 0, 0, case["groups"], case["dilations"]
    full = _TRANSPOSED[x.dim() - 3](x, weight, bias, *moves)
    pad = case["pad"]
    if any(front + behind >= n for front, behind, n in zip(pad[::2], pad[1::2], full.shape[2:])):
        pad = [0] * len(pad)
    left: list[Any] = [slice(f, n - b) for f, b, n in zip(pad[::2], pad[1::2], full.shape[2:])]
    cut = full[(..., *left)]
    constants: Constants = {name: case[name] for name in ("strides", "dilations", "groups")}
    constants |= {} if bias is None else {"bias": bias.numpy()}
    settings_: Constants = {"weight": weight.numpy(), "pad_type": "custom", "pad": pad, **constants}
    same(computed("conv_transpose", {"x": x.numpy()}, **settings_)[0], cut)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 3), (3, 1), (1, 2)])
def test_conv_transpose_same_is_the_gradient_of_a_conv_of_same_padding(kernel: int, stride: int) -> None:
    y, weight = torch.from_numpy(drawn(1, 3, 4)), torch.from_numpy(drawn(3, 2, kernel, seed=1))
    x = torch.zeros(1, 2, 4 * stride, requires_grad=True)
    total = max(kernel - stride, 0)
    functional.conv1d(functional.pad(x, (total // 2, total - total // 2)), weight, stride=stride).backward(y)
    assert x.grad is not None
    constants: Constants = {"weight": weight.numpy(), "pad_type": "same", "strides": [stride]}
    same(computed("conv_transpose", {"x": y.numpy()}, **constants)[0], x.grad)


def test_conv_transpose_reaches_an_output_shape_that_its_kernel_does_not() -> None:
    x, weight = torch.from_numpy(drawn(1, 3, 4)), torch.from_numpy(drawn(3, 2, 1, seed=1))
    constants: Constants = {
        "strides": [3],
        "output_shape": [1, 2, 12],
        "bias": np.array([1.0, 2.0], np.float32),
    }
    expected = functional.conv_transpose1d(x, weight, torch.tensor([1.0, 2.0]), 3, 0, 2)
    same(computed("conv_transpose", {"x": x.numpy()}, weight=weight.numpy(), **constants)[0], expected)


@pytest.mark.parametrize("scales", [(0.5, -3.0), ([0.5, 0.25, 2.0], [1.0, -2.0, 0.0])])
def test_conv_quantized_has_levels_for_weights(scales: tuple[Any, Any]) -> None:
    """Scale and offset are one for all, or one for each output channel."""
    x, bias = torch.from_numpy(drawn(1, 2, 5, 6)), torch.tensor([1.0, -1.0, 0.5])
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 2, 3, 3)).astype(np.uint8))
    scale, offset = (torch.tensor(each) for each in scales)
    rest: dict[str, Any] = {
        "pad_type": "custom",
        "pad": torch.tensor([1, 0, 0, 1]),
        "groups": torch.tensor(1),
    }
    rest |= {"strides": torch.tensor([2, 1]), "dilations": torch.tensor([1, 1]), "bias": bias}
    given_ = handed(
        x=x, weight=levels, quantization_type="linear", quant_scale=scale, quant_bias=offset, **rest
    )
    whole = [each.reshape(-1, 1, 1, 1) if each.dim() else each for each in (scale, offset)]
    padded = functional.pad(x, (0, 1, 1, 0))
    expected = functional.conv2d(padded, levels.float() * whole[0] + whole[1], bias, (2, 1))
    ours = ops.table()["conv_quantized"](given_)
    assert isinstance(ours, Tensor)
    torch.testing.assert_close(ours, expected)


def test_conv_quantized_by_a_table_says_that_it_is_not_carried() -> None:
    """The operation has no input for it."""
    with pytest.raises(NotImplementedError, match="lut"):
        ops.table()["conv_quantized"](handed(quantization_type="lut"))
