"""The graph: batch norm folded without a change of the answers, and operators that overwrite nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import graph_of
from torch import nn
from torch.fx import GraphModule
from torch.nn import functional as F

from edgepack.graph import layers as graph
from edgepack.model.capture import captured
from edgepack.model.inference import tensors
from edgepack.model.source import Source
from edgepack.recipe import ROOT

PICTURE = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
WAVE = torch.randn(2, 4, 20, generator=torch.Generator().manual_seed(2))


def _lived(net: nn.Module) -> nn.Module:
    """The module with statistics and parameters as training leaves them."""
    torch.manual_seed(0)
    for each in net.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.running_mean is not None:
            assert each.running_var is not None
            nn.init.normal_(each.running_mean)
            nn.init.uniform_(each.running_var, 0.3, 3.0)
            if each.affine:
                nn.init.normal_(each.weight)
                nn.init.normal_(each.bias)
    return net.eval()


def _norms(module: GraphModule) -> int:
    return sum("batch_norm" in str(node.target) for node in module.graph.nodes)


@pytest.mark.parametrize(
    ("layer", "norm", "inputs"),
    [
        (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), PICTURE),
        (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), PICTURE),
        (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False), PICTURE),
        (nn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.BatchNorm2d(6, eps=0.1), PICTURE),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), PICTURE),
        (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), WAVE),
        (nn.Linear(4, 6), nn.BatchNorm1d(6), ROWS),
        (nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), ROWS),
    ],
    ids=str,
)
def test_batch_norm_goes_into_the_layer_before_it(
    layer: nn.Module, norm: nn.Module, inputs: torch.Tensor
) -> None:
    net = _lived(nn.Sequential(layer, norm, nn.ReLU()))
    module = graph_of(net, inputs)
    assert graph.fold_batch_norm(module) == 1
    assert _norms(module) == 0
    torch.testing.assert_close(module(inputs), net(inputs), rtol=1e-4, atol=1e-5)
    assert list(graph.layers(module)) == ["0"]
    bias = graph.bias_of(graph.layers(module)["0"])
    assert bias is not None
    assert str(bias.target) == "0.bias"


class Added(nn.Module):
    """Batch norm of a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.norm(self.conv(x) + x)
        return output


class Read(Added):
    """Another reads what the layer gives before the norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.conv(x)
        output: torch.Tensor = self.norm(before) * before
        return output


class Twice(Added):
    """One layer in two places, with a norm of its own each."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.other(self.conv(self.norm(self.conv(x))))
        return output


class Tied(Twice):
    """Two layers that share a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(4, 4, 1)
        self.second.bias = self.conv.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.norm(self.conv(x)))
        return output


class Own(nn.Module):
    """A layer whose parameter `bias` is added elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 4, 1, 1)), nn.Parameter(torch.randn(1, 4, 1, 1))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.norm(F.conv2d(x, self.weight)) + self.bias
        return output


class Computed(Added):
    """A bias that is computed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.conv.bias is not None
        output: torch.Tensor = self.norm(F.conv2d(x, self.conv.weight, 2 * self.conv.bias))
        return output


class Whole(nn.Sequential):
    """Batch norm of the batch itself, of the input, and after a layer that widens."""

    def __init__(self) -> None:
        up = nn.ConvTranspose2d(4, 4, 2)
        loose = nn.BatchNorm2d(4, track_running_stats=False)
        super().__init__(nn.BatchNorm2d(4), up, nn.BatchNorm2d(4), loose)


@pytest.mark.parametrize("net", [Added(), Read(), Twice(), Tied(), Own(), Computed(), Whole()], ids=repr)
def test_what_cannot_be_folded_stays(net: nn.Module) -> None:
    _lived(net)
    module = graph_of(net, PICTURE)
    norms = _norms(module)
    assert graph.fold_batch_norm(module) == 0
    assert _norms(module) == norms
    torch.testing.assert_close(module(PICTURE), net(PICTURE), rtol=1e-4, atol=1e-5)


def test_a_trained_network_is_folded_and_answers_the_same(small_source: Source) -> None:
    module = small_source.exported.module()
    assert isinstance(module, GraphModule)
    assert _norms(module) == 0
    assert len(graph.layers(module)) == 12
    for sample, outputs in list(zip(small_source.evaluation.inputs, small_source.reference))[:8]:
        answered = module(*tensors(sample))[0]
        torch.testing.assert_close(answered, torch.from_numpy(outputs[0]), rtol=1e-4, atol=1e-4)


# Operators that overwrite their input


class Conv(nn.Module):
    def __init__(self, after: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.after = after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.conv(x))


def _chain(x: torch.Tensor) -> torch.Tensor:
    return x.relu_().mul_(2).add_(1)


def _other_reader(x: torch.Tensor) -> torch.Tensor:
    return F.relu_(x) + x


def _reader_before(x: torch.Tensor) -> torch.Tensor:
    sine = x.sin()
    return x.relu_() + sine


def _view(x: torch.Tensor) -> torch.Tensor:
    x.view(-1).relu_()
    return x


def _slice(x: torch.Tensor) -> torch.Tensor:
    x[:, 0] = 0
    return x


def _part(x: torch.Tensor) -> torch.Tensor:
    x[:, :2].mul_(3)
    return x


def _idle_dropout(x: torch.Tensor) -> torch.Tensor:
    return F.dropout(x, training=False).relu_() + x


@pytest.mark.parametrize(
    ("after", "count"),
    [(_chain, 3), (_reader_before, 0), (_other_reader, 1), (_view, 0), (_slice, 0), (_part, 0),
     (_idle_dropout, 0)],
)  # fmt: skip
def test_overwriting_goes_only_where_nobody_else_would_see_it(
    after: Callable[[torch.Tensor], torch.Tensor], count: int
) -> None:
    torch.manual_seed(0)
    net = Conv(after).eval()
    exact = net(PICTURE)
    module = graph_of(net, PICTURE)
    assert graph.without_in_place(module) == count
    torch.testing.assert_close(module(PICTURE), exact)
    torch.testing.assert_close(captured(net, (PICTURE,)).module()(PICTURE), exact)


def test_an_input_that_is_overwritten_stays_the_caller_s_concern() -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)).eval()
    exact = net(PICTURE.clone())
    module = graph_of(net, PICTURE.clone())
    assert graph.without_in_place(module) == 0
    torch.testing.assert_close(module(PICTURE.clone()), exact)


# Names


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
