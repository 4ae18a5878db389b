"""Operators that overwrite their input are replaced where nobody else would notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import graph_of
from torch import nn
from torch.nn import functional as F

from edgepack.graph.in_place import without_in_place
from edgepack.model.capture import captured

PICTURE = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0))


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
    assert without_in_place(module) == count
    torch.testing.assert_close(module(PICTURE), exact)
    torch.testing.assert_close(captured(net, (PICTURE,)).module()(PICTURE), exact)


def test_an_input_that_is_overwritten_stays_the_caller_s_concern() -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)).eval()
    exact = net(PICTURE.clone())
    module = graph_of(net, PICTURE.clone())
    assert without_in_place(module) == 0
    torch.testing.assert_close(module(PICTURE.clone()), exact)


# Names
