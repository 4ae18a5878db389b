"""Layers: their paths, scopes and constants."""

from __future__ import annotations

import pytest
import torch
from conftest import graph_of
from torch import nn
from torch.fx import GraphModule

from edgepack.graph import layers as graph
from edgepack.model.capture import captured
from edgepack.model.source import Source
from edgepack.recipe import ROOT

PICTURE = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ("model.features.0.weight", "features.0"),
        ("model.weight", ROOT),
        ("weight", ROOT),
        ("model.model.0.bias", "model.0"),
        ("features.0.weight", "features.0"),
    ],
)
def test_the_path_of_a_layer_follows_from_its_parameter(parameter: str, path: str) -> None:
    assert graph.path_of(parameter) == path


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 1), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.act(self.conv(x)) + x
        return output


def test_the_scope_of_any_operator_is_its_module(small_source: Source) -> None:
    net, model = nn.Module(), nn.Sequential(Block(), nn.Flatten())
    net.model = model
    net.forward = lambda x: model(x) * 2
    scopes = {node.name: graph.scope(node) for node in graph_of(net, PICTURE).graph.nodes}
    assert scopes["conv2d"] == "0.conv"
    assert scopes["relu"] == "0.act"
    assert scopes["add"] == "0"
    assert scopes["flatten"] == "1"
    assert scopes["mul"] == ROOT


def test_scopes_outlast_the_folding(small_source: Source) -> None:
    scopes = {node.name: graph.scope(node) for node in small_source.exported.module().graph.nodes}
    assert scopes["relu_1"] == "blocks.0.relu"
    assert scopes["flatten"] == ROOT


def test_constants_are_put_where_they_were(small_source: Source) -> None:
    module = small_source.exported.module()
    assert isinstance(module, GraphModule)
    layer = graph.layers(module)["stem"]
    weight = graph.weight_of(layer)
    graph.set_constant(module, str(weight.target), torch.zeros(16, 1, 3, 3))
    assert not graph.constant(module, weight).any()
    untouched = small_source.exported.module()
    assert isinstance(untouched, GraphModule)
    assert graph.constant(untouched, graph.weight_of(graph.layers(untouched)["stem"])).any()


class _Recurrent(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if isinstance(self.cell, nn.LSTMCell):
            found: tuple[torch.Tensor, ...] = self.cell(x, (hidden, hidden))
            return found
        return (self.cell(x, hidden),)


@pytest.mark.parametrize(
    "cell",
    [nn.LSTMCell(4, 8), nn.GRUCell(4, 8), nn.RNNCell(4, 8), nn.RNNCell(4, 8, nonlinearity="relu")],
    ids=["lstm", "gru", "tanh", "relu"],
)
def test_recurrent_cells_are_taken_apart_into_two_layers(cell: nn.Module) -> None:
    net, given = _Recurrent(cell).eval(), (ROWS, torch.tanh(torch.randn(5, 8)))
    program = captured(net, given)
    module = program.module()
    assert isinstance(module, GraphModule)
    assert set(graph.layers(module)) == {"cell.ih", "cell.hh"}
    assert not any("unsafe" in str(node.target) for node in module.graph.nodes)
    for ours, exact in zip(module(*given), net(*given), strict=True):
        torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize(
    ("arguments", "adds_zeros"),
    [
        ((), True),
        (("constant",), True),
        (("constant", 0.0), True),
        (("constant", None), True),
        (("constant", 1.0), False),
        (("reflect",), False),
    ],
)
def test_padding_that_adds_zeros(arguments: tuple[str | float | None, ...], adds_zeros: bool) -> None:
    program = torch.fx.Graph()
    x = program.placeholder("x")
    node = program.call_function(torch.ops.aten.pad.default, (x, [1, 1, 1, 1], *arguments))
    assert graph.pads_zeros(node) is adds_zeros
