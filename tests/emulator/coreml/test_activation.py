"""Activations in the evaluator, against torch and their formulas, and with coremltools' defaults."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from programs import given
from single_op import Constants, agree, computed, drawn, same
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml import ops

_X = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=st.floats(-30, 30, width=32, allow_subnormal=False),
)
_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softplus": lambda x: torch.log1p(torch.exp(x.double())),
    "softsign": functional.softsign,
}
_ALPHA: dict[str, Callable[[Tensor, float], Tensor]] = {
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "thresholded_relu": lambda x, a: x * (x >= a),
}
_BOTH: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "clamped_relu": lambda x, a, b: functional.leaky_relu(x, a).clamp(max=b),
    "linear_activation": lambda x, a, b: x * a + b,
    "scaled_tanh": lambda x, a, b: torch.tanh(x * b) * a,
    "sigmoid_hard": lambda x, a, b: torch.minimum((x * a + b).clamp(min=0), torch.ones(())),
}
_NUMBER = st.sampled_from([0.0, 0.2, 1.0, 2.5])
_FEW = settings(max_examples=30, deadline=None)


def _of(kind: str, x: np.ndarray, *settings: float) -> Tensor:
    fixed = {name: torch.tensor(value) for name, value in zip(("alpha", "beta"), settings)}
    result = ops.table()[kind](given(x=torch.from_numpy(x), **fixed))
    assert isinstance(result, Tensor)
    return result


def _near(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", _PLAIN)
@_FEW
@drawn_from(x=_X)
def test_plain(kind: str, x: np.ndarray) -> None:
    _near(_of(kind, x), _PLAIN[kind](torch.from_numpy(x)))


@pytest.mark.parametrize("kind", _ALPHA)
@_FEW
@drawn_from(x=_X, alpha=_NUMBER)
def test_with_alpha(kind: str, x: np.ndarray, alpha: float) -> None:
    _near(_of(kind, x, alpha), _ALPHA[kind](torch.from_numpy(x), alpha))


@pytest.mark.parametrize("kind", _BOTH)
@_FEW
@drawn_from(x=_X, alpha=_NUMBER, beta=_NUMBER)
def test_with_alpha_and_beta(kind: str, x: np.ndarray, alpha: float, beta: float) -> None:
    _near(_of(kind, x, alpha, beta), _BOTH[kind](torch.from_numpy(x), alpha, beta))


@pytest.mark.parametrize("mode", [None, "EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
def test_gelu(mode: str | None) -> None:
    constants: Constants = {"mode": mode} if mode else {}
    agree("gelu", {"x": 3 * drawn(4, 5)}, **constants)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, -3])
def test_softmax(axis: int | None) -> None:
    x = 50 * drawn(2, 3, 4)
    chosen: Constants = {} if axis is None else {"axis": axis}
    (ours,) = computed("softmax", {"x": x}, **chosen)
    same(ours, torch.softmax(torch.from_numpy(x), -1 if axis is None else axis).numpy())


@pytest.mark.parametrize("opset", [15, 17])
def test_by_channel(opset: int) -> None:
    alpha, beta = np.abs(drawn(3, seed=1)), drawn(3, seed=2)
    agree("prelu", {"x": drawn(2, 3, 4, 5)}, opset, alpha=alpha)
    agree("prelu", {"x": drawn(2, 3, 4)}, opset, alpha=np.full(3, 0.5, np.float32))
    agree("softplus_parametric", {"x": drawn(2, 3, 4, 5)}, opset, alpha=alpha, beta=beta)
