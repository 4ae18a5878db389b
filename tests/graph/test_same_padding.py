"""Paddings in words become numbers, and the convolution stays the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgepack.graph import same_padding
from edgepack.graph.layers import ATEN, layers

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


@pytest.mark.parametrize(
    ("layer", "pads", "padding"),
    [
        (nn.Conv2d(4, 6, (32, 1), padding="same"), 1, [15, 0]),
        (nn.Conv2d(4, 6, (3, 4), padding="same", groups=2, bias=False), 1, [1, 1]),
        (nn.Conv2d(4, 6, 3, padding="same", dilation=2), 0, [2, 2]),
        (nn.Conv2d(4, 6, 2, padding="valid", stride=2), 0, [0, 0]),
        (nn.Conv1d(4, 6, 4, padding="same", dilation=3), 1, [4]),
        (nn.Conv3d(4, 6, (2, 3, 3), padding="same"), 1, [0, 1, 1]),
    ],
)
def test_a_padding_in_words_is_a_padding_in_numbers(layer: Any, pads: int, padding: list[int]) -> None:
    given = torch.randn(1, 4, *[33] * (layer.weight.dim() - 2))
    program = torch.export.export(nn.Sequential(layer).eval(), (given,), strict=False)
    graph = program.module()
    assert isinstance(graph, torch.fx.GraphModule)
    assert same_padding.with_numbers(graph) == 1
    (found,) = layers(graph).values()
    assert found.args[4] == padding
    for numbers in found.args[3:6]:
        assert len(numbers) == len(padding), "toolchains expect a number for each dimension"  # type: ignore[arg-type]
    assert sum(node.target is ATEN.pad.default for node in graph.graph.nodes) == pads
    torch.testing.assert_close(graph(given), layer(given))
