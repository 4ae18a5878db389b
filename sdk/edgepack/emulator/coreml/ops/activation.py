"""Activations (`mil/ops/defs/*/activation.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op

_SIGMOID_GELU = 1.702


def clamped_relu(given: Given) -> torch.Tensor:
    """x, or alpha * x where it is below 0, and no more than beta."""
    return _leaky(given["x"], given["alpha"]).clamp(max=given.number("beta"))


def elu(given: Given) -> torch.Tensor:
    """x, or alpha * (e^x - 1) where it is below 0."""
    return functional.elu(given["x"], given.number("alpha"))


def gelu(given: Given) -> torch.Tensor:
    """x times the normal distribution at x, or one of its two approximations (Hendrycks, Gimpel 2016)."""
    x, mode = given["x"], given.text("mode")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(_SIGMOID_GELU * x)
    return functional.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def leaky_relu(given: Given) -> torch.Tensor:
    """x, or alpha * x where it is below 0."""
    return _leaky(given["x"], given["alpha"])


def linear_activation(given: Given) -> torch.Tensor:
    """alpha * x + beta."""
    return given["alpha"] * given["x"] + given["beta"]


def prelu(given: Given) -> torch.Tensor:
    """x, or alpha * x where it is below 0; `alpha` [channels]."""
    return _leaky(given["x"], _by_channel(given, "alpha"))


def relu(given: Given) -> torch.Tensor:
    """max(x, 0)."""
    return functional.relu(given["x"])


def relu6(given: Given) -> torch.Tensor:
    """min(max(x, 0), 6)."""
    return functional.relu6(given["x"])


def scaled_tanh(given: Given) -> torch.Tensor:
    """alpha * tanh(beta * x)."""
    return given["alpha"] * torch.tanh(given["beta"] * given["x"])


def sigmoid(given: Given) -> torch.Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(given["x"])


def sigmoid_hard(given: Given) -> torch.Tensor:
    """alpha * x + beta, held between 0 and 1."""
    return (given["alpha"] * given["x"] + given["beta"]).clamp(0, 1)


def silu(given: Given) -> torch.Tensor:
    """x * sigmoid(x)."""
    return functional.silu(given["x"])


def softmax(given: Given) -> torch.Tensor:
    """e^x over its sum along `axis`."""
    return torch.softmax(given["x"], given.integer("axis"))


def softplus(given: Given) -> torch.Tensor:
    """log(1 + e^x)."""
    return functional.softplus(given["x"])


def softplus_parametric(given: Given) -> torch.Tensor:
    """alpha * log(1 + e^(beta * x)); `alpha` and `beta` [channels]."""
    return _by_channel(given, "alpha") * functional.softplus(_by_channel(given, "beta") * given["x"])


def softsign(given: Given) -> torch.Tensor:
    """x / (1 + |x|)."""
    return functional.softsign(given["x"])


def thresholded_relu(given: Given) -> torch.Tensor:
    """x, or 0 where it is below alpha."""
    x = given["x"]
    return torch.where(x >= given["alpha"], x, 0)


def _leaky(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, x, slope * x)


def _by_channel(given: Given, name: str) -> torch.Tensor:
    """A vector, along the second dimension of x."""
    return given[name].reshape(-1, *[1] * (given["x"].dim() - 2))


_ALL: tuple[Callable[[Given], torch.Tensor], ...] = (
    *(clamped_relu, elu, gelu, leaky_relu, linear_activation, prelu, relu, relu6, scaled_tanh, sigmoid),
    *(sigmoid_hard, silu, softmax, softplus, softplus_parametric, softsign, thresholded_relu),
)
OPS: Mapping[str, Op] = {each.__name__: each for each in _ALL}
