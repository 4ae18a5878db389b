"""Layers written as single operators become convolutions and linear layers, with the same outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgepack.model.capture import captured

Tensor = torch.Tensor


class ChannelsLast(nn.Module):
    """Convolutions on channels-last tensors, as Keras' torch backend runs them."""

    def __init__(self, between: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (torch.randn(3, 3, 4, 6) / 4, torch.randn(1, 1, 6, 5) / 3)
        self.bias, self.scale = torch.randn(6), torch.rand(6) + 0.5
        self.dense, self.offset = torch.randn(5, 3), torch.randn(3)
        self.between = between

    @staticmethod
    def conv(x: Tensor, kernel: Tensor) -> Tensor:
        return torch.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)).permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.conv(x, self.first) * self.scale + self.bias.reshape(1, 1, 1, 6)
        x = self.conv(self.between(torch.relu(x), self.bias), self.second) - self.second[0, 0, 0]
        return (torch.matmul(x.mean((1, 2)), self.dense) + self.offset,)


def operators(net: nn.Module, *example: Tensor) -> Counter[str]:
    """The operators of the captured graph, whose outputs are those of the model."""
    program = captured(net.eval(), example)
    wanted, found = net(*example), program.module()(*example)
    for one, other in zip(wanted, found):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)
    return Counter(
        str(node.target).split(".")[1] for node in program.graph.nodes if node.op == "call_function"
    )


@pytest.mark.parametrize(
    ("between", "more"),
    [
        (lambda x, b: x, {}),
        (lambda x, b: torch.nn.functional.silu(x), {"silu": 1}),
        (lambda x, b: x * torch.sigmoid(x.mean((1, 2), keepdim=True)), {"mul": 1, "sigmoid": 1, "mean": 1}),
        (lambda x, b: x * b, {"mul": 1}),
        (lambda x, b: torch.nn.functional.pad(x, (0, 0, 1, 2, 3, 0)), {"pad": 1}),
        (lambda x, b: 2 - torch.cat([x[..., :2], x[..., 2:]], dim=3), {"slice": 2, "cat": 1, "rsub": 1}),
        (lambda x, b: torch.cat([torch.relu(x), torch.tanh(x)], dim=-1)[..., 3:9], None),
    ],
)
def test_channels_last(between: Callable[[Tensor, Tensor], Tensor], more: dict[str, int] | None) -> None:
    found = operators(ChannelsLast(between), torch.randn(1, 8, 7, 4))
    assert (found["conv2d"], found["linear"], found["matmul"]) == (2, 1, 0)
    assert not found["add"]
    assert not found["sub"]
    if more is not None and "slice" not in more:
        own = Counter({"permute": 1, "conv2d": 2, "relu": 1, "mean": 1, "linear": 1})
        assert found == own + Counter(more)


class Products(nn.Module):
    """Matrix products that are layers, and one that is none."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(5))
        self.c, self.batch = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(1, 2, 4, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x @ self.a + self.b
        z = torch.addmm(self.c[0], y.reshape(-1, 5), self.c)
        shared = x @ self.a
        return y, z, shared + self.b, shared, x @ x.transpose(-1, -2), x @ self.batch


def test_products_with_constants_are_linear_layers() -> None:
    found = operators(Products(), torch.randn(1, 2, 3, 4))
    assert (found["linear"], found["matmul"], found["addmm"]) == (3, 2, 0)


class Kept(nn.Module):
    """What must stay as it is: values read twice, an addition that is no bias, a constant over a matrix."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.plane, self.vector = torch.randn(1, 4, 6, 6), torch.randn(1, 4, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        turned = y.permute(0, 2, 3, 1)
        return (
            y + self.vector,
            self.conv(x) + self.plane,
            turned,
            torch.relu(turned),
            self.vector - self.conv(x),
        )


def test_what_is_no_layer_is_kept() -> None:
    found = operators(Kept(), torch.randn(1, 3, 8, 8))
    assert (found["conv2d"], found["add"], found["sub"]) == (3, 2, 1)
