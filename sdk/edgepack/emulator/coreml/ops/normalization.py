"""Normalizations; channels are the second axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op


def batch_norm(inputs: Inputs) -> Tensor:
    """Normalize each channel by a constant mean and variance."""
    statistics = inputs["mean"], inputs["variance"]
    scaling = inputs.get("gamma"), inputs.get("beta")
    return functional.batch_norm(inputs["x"], *statistics, *scaling, eps=inputs.number("epsilon"))


def instance_norm(inputs: Inputs) -> Tensor:
    """Normalize each channel of each item by its mean and variance."""
    x = inputs["x"]
    shape = (-1, *[1] * (x.dim() - 2))
    return _scaled(_normalized(x, range(2, x.dim()), inputs.number("epsilon")), inputs, shape)


def layer_norm(inputs: Inputs) -> Tensor:
    """Normalize over `axes` by their mean and variance; gamma and beta have the sizes of these axes."""
    x = inputs["x"]
    axes = sorted(axis % x.dim() for axis in inputs.ints("axes"))
    if axes == list(range(x.dim() - len(axes), x.dim())):
        scaling = inputs.get("gamma"), inputs.get("beta")
        return functional.layer_norm(x, x.shape[axes[0] :], *scaling, eps=inputs.number("epsilon"))
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    return _scaled(_normalized(x, axes, inputs.number("epsilon")), inputs, shape)


def l2_norm(inputs: Inputs) -> Tensor:
    """Divide by the Euclidean norm over the last three axes."""
    x = inputs["x"]
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + inputs.number("epsilon")).sqrt()


def local_response_norm(inputs: Inputs) -> Tensor:
    """x / (k + alpha / size × Σ x²) ^ beta, with the sum over neighboring channels."""
    alpha, beta, k = (inputs.number(name) for name in ("alpha", "beta", "k"))
    return functional.local_response_norm(inputs["x"], inputs.integer("size"), alpha, beta, k)


def _normalized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    variance, mean = torch.var_mean(x, tuple(axes), correction=0, keepdim=True)
    return (x - mean) / (variance + epsilon).sqrt()


def _scaled(x: Tensor, inputs: Inputs, shape: Sequence[int]) -> Tensor:
    gamma, beta = inputs.get("gamma"), inputs.get("beta")
    x = x if gamma is None else x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


OPS: Mapping[str, Op] = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
}
