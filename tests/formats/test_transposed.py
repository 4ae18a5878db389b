"""Grouped transposed convolutions, which upsample a channel at a time: no runtime's quantizer takes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import source_of
from sources import Write
from torch import nn

from edgepack.model.source import Source
from edgepack.recipe import Recipe

Writer = Callable[[str], Write]


@pytest.fixture(scope="module")
def source() -> Source:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 8, 4, 2, groups=8), nn.Conv2d(8, 4, 3)
    draw = torch.Generator().manual_seed(0)
    return source_of(nn.Sequential(*layers), [torch.randn(1, 3, 12, 12, generator=draw) for _ in range(40)])


@pytest.mark.parametrize("format_name", ["executorch", "onnx", "torchscript"])
def test_it_stays_in_float_by_name_between_int8_layers(
    writer: Writer, source: Source, format_name: str
) -> None:
    written = writer(format_name)(source, Recipe("w8a8"))
    assert written.sqnr > 30
    assert written.holds.quantized == pytest.approx(2 / 3)
    (note,) = (each for each in written.exported.notes if each.startswith("kept in fp32"))
    assert note.endswith("): 2")
