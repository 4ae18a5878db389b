"""Reductions over axes. Integer results are truncated, as in coremltools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op

_Fold = Callable[[Tensor, list[int], bool], Tensor]


def _over_axes(fold: _Fold) -> Op:
    def reduce(inputs: Inputs) -> Tensor:
        x = inputs["x"]
        axes = inputs.ints("axes") if inputs.has("axes") else list(range(x.dim()))
        if not axes:  # an empty list means all axes in torch
            return fold(x[..., None], [-1], False).to(x.dtype)
        return fold(x, axes, inputs.flag("keep_dims")).to(x.dtype)

    return reduce


def _over_axis(choose: Callable[..., Tensor]) -> Op:
    def reduce(inputs: Inputs) -> Tensor:
        return choose(inputs["x"], inputs.integer("axis"), inputs.flag("keep_dims")).to(inputs.dtypes[0])

    return reduce


def _exact(x: Tensor) -> Tensor:
    """Integers as float64, for reductions whose results are not integers."""
    return x if x.is_floating_point() else x.double()


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    return x if keep else x.squeeze(axes)


OPS: Mapping[str, Op] = {
    "reduce_argmax": _over_axis(torch.argmax),
    "reduce_argmin": _over_axis(torch.argmin),
    "reduce_l1_norm": _over_axes(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": _over_axes(lambda x, axes, keep: _exact(x).square().sum(axes, keep).sqrt()),
    "reduce_log_sum": _over_axes(lambda x, axes, keep: _exact(x).sum(axes, keep).log()),
    "reduce_log_sum_exp": _over_axes(lambda x, axes, keep: _exact(x).logsumexp(axes, keep)),
    "reduce_max": _over_axes(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_mean": _over_axes(lambda x, axes, keep: _exact(x).mean(axes, keep)),
    "reduce_min": _over_axes(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_prod": _over_axes(_product),
    "reduce_sum": _over_axes(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_sum_square": _over_axes(lambda x, axes, keep: x.square().sum(axes, keep)),
}
