"""Integer grids contain zero exactly, and follow the number of bits."""

from __future__ import annotations

import pytest
import torch
from conftest import graph_of
from torch import nn

from edgepack.graph import layers as graph
from edgepack.graph.quantization_grid import ActivationGrid, rounded_weight


@pytest.mark.parametrize(
    ("within", "codes"),
    [
        ((0.0, 2.55), (0.01, 0)),
        ((0.5, 2.55), (0.01, 0)),
        ((-1.28, 1.27), (0.01, 128)),
        ((0.0, 0.0), (1.0, 0)),
    ],
)
def test_a_grid_holds_zero_exactly(within: tuple[float, float], codes: tuple[float, int]) -> None:
    grid = ActivationGrid.of(within)
    assert grid.scale == pytest.approx(codes[0])
    assert grid.zero_point == codes[1]


@pytest.mark.parametrize(
    "net", [nn.Conv2d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3), nn.Conv2d(4, 8, 3, groups=2)]
)
def test_a_weight_has_a_scale_an_output_channel(net: nn.Conv2d | nn.ConvTranspose2d) -> None:
    torch.manual_seed(0)
    axis = 1 if isinstance(net, nn.ConvTranspose2d) else 0
    shape = [1] * 4
    shape[axis] = -1
    net.weight.data *= torch.logspace(-2, 2, net.weight.shape[axis]).reshape(shape)
    module = graph_of(net, torch.zeros(1, 4, 8, 8))
    (layer,) = graph.layers(module).values()
    off = (rounded_weight(net.weight, layer) - net.weight).abs().transpose(0, axis).flatten(1).amax(1)
    scale = net.weight.abs().transpose(0, axis).flatten(1).amax(1) / 127
    assert (off <= scale / 2 * 1.001).all()
    assert (off > scale / 10).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_grid_has_as_many_steps_as_its_bits_allow(bits: int) -> None:
    grid = ActivationGrid.of((-1.0, 3.0), bits)
    assert grid.scale == pytest.approx(4 / (2**bits - 1))
    values = torch.linspace(-1, 3, 1000)
    assert (grid.rounded(values) - values).abs().max() <= grid.scale / 2 * 1.01
    assert torch.equal(grid.rounded(torch.tensor([0.0])), torch.tensor([0.0]))
