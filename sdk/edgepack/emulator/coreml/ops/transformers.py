"""Attention."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Given, Op


def scaled_dot_product_attention(given: Given) -> Tensor:
    """softmax(query keyᵀ / √E + mask) value; a mask of flags tells which keys take part."""
    query, key, value = given["query"], given["key"], given["value"]
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    mask = given.get("attn_mask")
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ value


OPS: Mapping[str, Op] = {"scaled_dot_product_attention": scaled_dot_product_attention}
