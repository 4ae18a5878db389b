"""Batch norm is folded without a change of the outputs."""

from __future__ import annotations

import pytest
import torch
from conftest import graph_of
from torch import nn
from torch.fx import GraphModule
from torch.nn import functional as F

from edgepack.graph import layers as graph
from edgepack.graph.fold_batch_norm import fold_batch_norm
from edgepack.model.inference import tensors
from edgepack.model.source import Source

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
    assert fold_batch_norm(module) == 1
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
    assert fold_batch_norm(module) == 0
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
