"""Activations (`mil/ops/defs/*/activation.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op

_SIGMOID_GELU = 1.702


def clamped_relu(inputs: Inputs) -> torch.Tensor:
    """min(x, beta) for x >= 0, else alpha * x."""
    return _leaky(inputs["x"], inputs["alpha"]).clamp(max=inputs.number("beta"))


def elu(inputs: Inputs) -> torch.Tensor:
    """x for x >= 0, else alpha * (e^x - 1)."""
    return functional.elu(inputs["x"], inputs.number("alpha"))


def gelu(inputs: Inputs) -> torch.Tensor:
    """x * Φ(x), or one of its two approximations (Hendrycks, Gimpel 2016)."""
    x, mode = inputs["x"], inputs.text("mode")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(_SIGMOID_GELU * x)
    return functional.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def leaky_relu(inputs: Inputs) -> torch.Tensor:
    """x for x >= 0, else alpha * x."""
    return _leaky(inputs["x"], inputs["alpha"])


def linear_activation(inputs: Inputs) -> torch.Tensor:
    """alpha * x + beta."""
    return inputs["alpha"] * inputs["x"] + inputs["beta"]


def prelu(inputs: Inputs) -> torch.Tensor:
    """x for x >= 0, else alpha * x; `alpha` [channels]."""
    return _leaky(inputs["x"], _by_channel(inputs, "alpha"))


def relu(inputs: Inputs) -> torch.Tensor:
    """max(x, 0)."""
    return functional.relu(inputs["x"])


def relu6(inputs: Inputs) -> torch.Tensor:
    """min(max(x, 0), 6)."""
    return functional.relu6(inputs["x"])


def scaled_tanh(inputs: Inputs) -> torch.Tensor:
    """alpha * tanh(beta * x)."""
    return inputs["alpha"] * torch.tanh(inputs["beta"] * inputs["x"])


def sigmoid(inputs: Inputs) -> torch.Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(inputs["x"])


def sigmoid_hard(inputs: Inputs) -> torch.Tensor:
    """alpha * x + beta, clamped to [0, 1]."""
    return (inputs["alpha"] * inputs["x"] + inputs["beta"]).clamp(0, 1)


def silu(inputs: Inputs) -> torch.Tensor:
    """x * sigmoid(x)."""
    return functional.silu(inputs["x"])


def softmax(inputs: Inputs) -> torch.Tensor:
    """e^x divided by its sum along `axis`."""
    return torch.softmax(inputs["x"], inputs.integer("axis"))


def softplus(inputs: Inputs) -> torch.Tensor:
    """log(1 + e^x)."""
    return functional.softplus(inputs["x"])


def softplus_parametric(inputs: Inputs) -> torch.Tensor:
    """alpha * log(1 + e^(beta * x)); `alpha` and `beta` [channels]."""
    return _by_channel(inputs, "alpha") * functional.softplus(_by_channel(inputs, "beta") * inputs["x"])


def softsign(inputs: Inputs) -> torch.Tensor:
    """x / (1 + |x|)."""
    return functional.softsign(inputs["x"])


def thresholded_relu(inputs: Inputs) -> torch.Tensor:
    """x for x >= alpha, else 0."""
    x = inputs["x"]
    return torch.where(x >= inputs["alpha"], x, 0)


def _leaky(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, x, slope * x)


def _by_channel(inputs: Inputs, name: str) -> torch.Tensor:
    """A vector [channels], reshaped to broadcast along the second dimension of x."""
    return inputs[name].reshape(-1, *[1] * (inputs["x"].dim() - 2))


_ALL: tuple[Callable[[Inputs], torch.Tensor], ...] = (
    *(clamped_relu, elu, gelu, leaky_relu, linear_activation, prelu, relu, relu6, scaled_tanh, sigmoid),
    *(sigmoid_hard, silu, softmax, softplus, softplus_parametric, softsign, thresholded_relu),
)
OPS: Mapping[str, Op] = {op.__name__: op for op in _ALL}
