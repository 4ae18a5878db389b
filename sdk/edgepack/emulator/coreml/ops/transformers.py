"""Attention."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op


def scaled_dot_product_attention(inputs: Inputs) -> Tensor:
    """softmax(query keyᵀ / √E + mask) value. A boolean mask selects keys."""
    query, key, value = inputs["query"], inputs["key"], inputs["value"]
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    mask = inputs.get("attn_mask")
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ value


OPS: Mapping[str, Op] = {"scaled_dot_product_attention": scaled_dot_product_attention}
