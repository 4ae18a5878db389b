"""Core ML: what a model does in six dimensions and more is the same in fewer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgepack.errors import ExportError
from edgepack.formats.coreml import high_ranks
from edgepack.model.capture import captured

PICTURE = torch.randn(1, 6, 8, 12, generator=torch.Generator().manual_seed(0))


class Windows(nn.Module):
    """Attention in windows with heads, as Twins and Swin write it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.qkv = nn.LayerNorm(6), nn.Linear(6, 18)

    def forward(self, x: Tensor) -> Any:
        rows = x.permute(0, 2, 3, 1).reshape(1, 2, 4, 3, 4, 6).transpose(2, 3)
        wide = torch.cat([self.qkv(self.norm(rows))[..., :9], self.qkv(rows)[..., 9:]], -1)
        q, k, v = wide.reshape(1, 6, 16, 3, 2, 3).permute(3, 0, 1, 4, 2, 5).unbind(0)
        found = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(2, 3)
        return found.reshape(1, 2, 3, 4, 4, 6).transpose(2, 3).reshape(1, 8, 12, 6)


class Shuffles(nn.Module):
    """Pixels to channels and back, in a batch that is not one."""

    def forward(self, x: Tensor) -> Any:
        pairs = x.expand(2, -1, -1, -1)
        deep = pairs.reshape(2, 2, 3, 2, 4, 3, 4).permute(0, 6, 3, 5, 1, 2, 4)
        return deep.select(3, 1).flatten(1), deep.relu().mean((1, 4)), deep[:, :, 1:].amax(-1).sum(2)


class Masked(nn.Module):
    """Scores of windows with a mask of their own, in six dimensions."""

    def forward(self, x: Tensor) -> Any:
        rows = x.reshape(1, 2, 3, 2, 4, 12)
        scores = rows @ rows.transpose(-1, -2)
        mask = torch.arange(4).view(1, 1, 1, 1, 1, 4) > 1
        a, b = (scores.masked_fill(mask, -1e4).softmax(-1) @ rows * rows[..., :1]).chunk(2, 2)[0], rows[:, 0]
        return torch.where(a > 0, a, a * 0.5).reshape(1, -1), b


@pytest.mark.parametrize("net", [Windows(), Shuffles(), Masked()], ids=lambda net: type(net).__name__)
def test_high_ranks_become_low_ones_and_nothing_else_changes(net: nn.Module) -> None:
    wanted = net(PICTURE)
    graph = captured(net.eval(), (PICTURE,)).module()
    assert high_ranks.flatten(graph) > 3
    ranks = [node.meta["val"].dim() for node in graph.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert max(ranks) <= high_ranks.MOST
    torch.testing.assert_close(graph(PICTURE), wanted)


class Cumulated(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x.reshape(1, 2, 3, 2, 4, 12).cumsum(2).reshape(1, -1)


class Returned(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x.reshape(1, 2, 3, 2, 4, 12) + 1


@pytest.mark.parametrize(
    ("net", "words"), [(Cumulated(), "aten.cumsum"), (Returned(), "output of the model")]
)
def test_what_cannot_be_written_is_refused_with_its_place(net: nn.Module, words: str) -> None:
    graph = captured(net.eval(), (PICTURE,)).module()
    with pytest.raises(ExportError, match=f"{words}.*6 dimensions"):
        high_ranks.flatten(graph)
