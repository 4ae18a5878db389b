"""Attention in the evaluator against torch's own."""

from __future__ import annotations

import pytest
import torch
from single_op import computed, drawn, same
from torch.nn import functional


@pytest.mark.parametrize("lead", [(2,), (2, 3)])
@pytest.mark.parametrize("masked", ["", "flags", "numbers"])
def test_attention(lead: tuple[int, ...], masked: str) -> None:
    shapes = {"query": (4, 8), "key": (6, 8), "value": (6, 5)}
    inputs = {name: drawn(*lead, *shape, seed=at) for at, (name, shape) in enumerate(shapes.items())}
    if masked:
        mask = drawn(4, 6, seed=3)
        mask[:, 0] = 1.0  # a row without a key has no softmax
        inputs["attn_mask"] = mask > 0 if masked == "flags" else mask
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    expected = functional.scaled_dot_product_attention(
        tensors["query"], tensors["key"], tensors["value"], tensors.get("attn_mask")
    )
    same(computed("scaled_dot_product_attention", inputs, 18)[0], expected)
