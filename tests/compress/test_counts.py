"""Counts of layers are those of arithmetic."""

from __future__ import annotations

import torch
from conftest import source_of
from torch import nn

from edgepack.compress.counts import layer_costs
from edgepack.model.source import Source


def test_costs_are_those_of_arithmetic(small_source: Source) -> None:
    found = layer_costs(small_source)
    assert list(found)[:2] == ["stem", "blocks.0.depthwise"]
    assert (found["stem"].values, found["stem"].multiply_adds) == (144, 144 * 784)
    assert (found["blocks.0.depthwise"].values, found["blocks.0.depthwise"].multiply_adds) == (144, 144 * 196)
    assert found["blocks.0.pointwise"].multiply_adds == 16 * 32 * 196
    assert (found["classifier"].values, found["classifier"].multiply_adds) == (1280, 1280)
    up = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2)).eval()
    assert (
        layer_costs(source_of(up, [torch.zeros(1, 1, 4, 8, 8)[0]]))["0"].multiply_adds
        == 4 * 6 * 2 * 2 * 8 * 8
    )
