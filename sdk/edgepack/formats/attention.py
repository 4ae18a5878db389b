"""Attention in the four dimensions that formats take: batch, heads, steps and features."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention of any number of dimensions: those before the heads become one, the keys and values of
    grouped queries are repeated."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (_repeated(each, times) for each in (key, value))
    outer = query.shape[:-3]
    shape = (*query.shape[:-1], value.shape[-1])
    if mask is not None and mask.dim() > 3:
        mask = _in_four(mask, outer)
    query, key, value = (_in_four(each, outer) for each in (query, key, value))
    found = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal, scale=scale)
    return found.reshape(shape) if found.shape != shape else found


def _in_four(x: Tensor, outer: tuple[int, ...]) -> Tensor:
    """`x` with the dimensions before its last three, which `outer` are after broadcasting, as one."""
    if x.dim() == 4 and len(outer) == 1:
        return x
    if x.dim() <= 3:
        return x[(None,) * (4 - x.dim())]
    return x.expand(*outer, *x.shape[-3:]).reshape(math.prod(outer), *x.shape[-3:])


def _repeated(x: Tensor, times: int) -> Tensor:
    """Each head `times` times in a row."""
    wide = x.unsqueeze(-3).expand(*x.shape[:-2], times, *x.shape[-2:])
    return wide.reshape(*x.shape[:-3], x.shape[-3] * times, *x.shape[-2:])
