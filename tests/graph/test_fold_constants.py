"""Constant folding of values that a graph computes from its parameters with in-place operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import source_of
from torch import Tensor, nn
from torch.nn import functional as F

from edgepack import formats, target
from edgepack.model.capture import captured
from edgepack.recipe import Recipe

pytest.importorskip("coremltools")


class _Cleared(nn.Module):
    """As Swin V2's attention: a third of the bias is cleared in each run."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        bias = self.layer.bias.clone()
        bias[2:4].zero_()
        return (F.linear(x, self.layer.weight, bias * 2),)


class _Early(_Cleared):
    """The bias is also read before it is cleared."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        bias = self.layer.bias.clone()
        before = F.linear(x, self.layer.weight, bias)
        bias[2:4].zero_()
        return (before + bias,)


class _Counting(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(2))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        self.count[:1].add_(1)
        return (x + self.count,)


class _FromInput(nn.Module):
    """The modified value is computed from the input."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        y = x * 2
        y[:, :1].zero_()
        return (y,)


def _folded(net: nn.Module, example: Tensor) -> dict[str, Tensor]:
    from edgepack.graph.fold_constants import fold_constants

    return {
        node.name: value for node, value in fold_constants(captured(net.eval(), (example,)).module()).items()
    }


def test_a_modified_constant_and_its_dependents_are_folded() -> None:
    net = _Cleared()
    found = _folded(net, torch.randn(2, 4))
    kept = torch.tensor([1, 1, 0, 0, 1, 1])
    assert torch.equal(found["clone"], net.layer.bias * kept)
    assert torch.equal(found["mul"], net.layer.bias * kept * 2)
    assert set(found) == {"clone", "slice_1", "zero_", "mul"}


@pytest.mark.parametrize(
    ("net", "size"),
    [(_Early, 4), (_Counting, 2), (_FromInput, 3), (lambda: nn.Sequential(nn.Linear(4, 2)), 4)],
)
def test_other_values_are_not_folded(net: type[nn.Module], size: int) -> None:
    class Tuple(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = net()

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            found = self.model(x)
            return found if isinstance(found, tuple) else (found,)

    assert _folded(Tuple(), torch.randn(2, size)) == {}


def test_a_network_that_clears_a_constant_is_converted(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = _Cleared()

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.model(x)[0]
            return output

    example = torch.randn(2, 4)
    source = source_of(Net(), [example])
    path = tmp_path / "net.mlpackage"
    formats.load("coreml").export(source, Recipe("fp32"), target.load("iphone-15"), path)
    (answer,) = formats.load("coreml").load(path)((example.numpy(),))
    np.testing.assert_allclose(answer, source.reference[0][0], rtol=1e-5, atol=1e-6)
