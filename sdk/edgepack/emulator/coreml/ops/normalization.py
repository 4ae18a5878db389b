"""Normalizations; channels are the second axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op


def batch_norm(given: Given) -> Tensor:
    """Each channel by a mean and a variance that the program holds."""
    statistics = given["mean"], given["variance"]
    scaling = given.get("gamma"), given.get("beta")
    return functional.batch_norm(given["x"], *statistics, *scaling, eps=given.number("epsilon"))


def instance_norm(given: Given) -> Tensor:
    """Each channel of each item by its own mean and variance."""
    x = given["x"]
    shape = (-1, *[1] * (x.dim() - 2))
    return _scaled(_normalized(x, range(2, x.dim()), given.number("epsilon")), given, shape)


def layer_norm(given: Given) -> Tensor:
    """The named axes together by their mean and variance; gamma and beta have these axes' sizes."""
    x = given["x"]
    axes = sorted(axis % x.dim() for axis in given.ints("axes"))
    if axes == list(range(x.dim() - len(axes), x.dim())):
        scaling = given.get("gamma"), given.get("beta")
        return functional.layer_norm(x, x.shape[axes[0] :], *scaling, eps=given.number("epsilon"))
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    return _scaled(_normalized(x, axes, given.number("epsilon")), given, shape)


def l2_norm(given: Given) -> Tensor:
    """The last three axes together by the root of their sum of squares."""
    x = given["x"]
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + given.number("epsilon")).sqrt()


def local_response_norm(given: Given) -> Tensor:
    """Each element by those of the channels around it: x / (k + alpha / size × Σ x²) ^ beta."""
    alpha, beta, k = (given.number(name) for name in ("alpha", "beta", "k"))
    return functional.local_response_norm(given["x"], given.integer("size"), alpha, beta, k)


def _normalized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    variance, mean = torch.var_mean(x, tuple(axes), correction=0, keepdim=True)
    return (x - mean) / (variance + epsilon).sqrt()


def _scaled(x: Tensor, given: Given, shape: Sequence[int]) -> Tensor:
    gamma, beta = given.get("gamma"), given.get("beta")
    x = x if gamma is None else x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


OPS: Mapping[str, Op] = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
}
