"""Methods of `.pte` files run by torch's operators, against ExecuTorch's own runtime on the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgepack import formats
from edgepack.errors import BundleError
from edgepack.silence import quiet

pytest.importorskip("executorch")

Writer = Callable[..., Path]


class _Picture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Hardswish(), nn.ReLU6(), nn.Conv2d(4, 4, 3, groups=4)
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(self.layers(x), 2)
        return torch.cat([pooled, F.interpolate(pooled, scale_factor=1.0) * 2], 1).softmax(1)


class _Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm, self.norm = nn.Embedding(10, 8), nn.LSTM(8, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.norm(self.lstm(self.words(x))[0])
        best, where = torch.topk(found, 2, -1)
        return best, where


class _Reshaped(nn.Module):
    """Views, lists of numbers, whole numbers, truth values."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = x.unfold(1, 2, 1).permute(0, 2, 1).flip(0).split(1, 1)
        return (torch.stack(parts).sum((0, 1)), x > 0, (x * 3).to(torch.int32), F.pad(x, (1, 2), value=-1.0))


class _Chosen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = torch.cond(x.sum() > 0, lambda y: torch.asinh(y) + 1, lambda y: y * 2, (x,))
        return output


class _Counting(nn.Module):
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x)
        return self.total * 2


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """A module's `.pte`, without any delegate."""

    def written(net: nn.Module, *example: Tensor) -> Path:
        with quiet():
            from executorch.exir import to_edge_transform_and_lower

            exported = torch.export.export(net.eval(), example, strict=False)
            path = tmp_path / "net.pte"
            path.write_bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)
        return path

    return written


def _method(path: Path) -> Any:
    with quiet():
        from edgepack.formats.executorch import method, program_file

        file = program_file.read(path)
        return method.method(file, file.program.execution_plan[0], lambda _: pytest.fail("a delegate"))


def _drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("net", "example"),
    [
        (_Picture, _drawn(2, 3, 16, 16)),
        (_Text, torch.tensor([[1, 2], [7, 0], [9, 9]])),
        (_Reshaped, _drawn(3, 5)),
        (_Chosen, _drawn(4)),
        (_Counting, _drawn(2)),
    ],
)
def test_it_answers_as_executorch_s_runtime(write: Writer, net: type[nn.Module], example: Tensor) -> None:
    torch.manual_seed(0)
    path = write(net(), example)
    ours, theirs = _method(path), formats.load("executorch").load(path)
    for sign in (1, -0.5, 1):
        given = ((example * sign if example.is_floating_point() else example).numpy(),)
        for mine, wanted in zip(ours(given), theirs(given), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
            assert mine.dtype == wanted.dtype
            assert mine.std() > 0


def test_weights_that_lie_channels_last_are_read_as_they_are(write: Writer) -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(3, 4, (2, 3))
    net.weight.data = net.weight.data.to(memory_format=torch.channels_last)
    example = torch.randn(1, 3, 5, 6)
    path = write(net, example)
    (answer,) = _method(path)((example.numpy(),))
    np.testing.assert_allclose(answer, net(example).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_an_operator_that_torch_has_not_is_named(write: Writer) -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x, 1)

    path = write(Sums(), torch.ones(1, 4))
    path.write_bytes(path.read_bytes().replace(b"aten::cumsum", b"aten::unhear"))
    with pytest.raises(BundleError, match=r"aten::unhear\.out cannot be run here"):
        _method(path)


def test_an_operator_that_fails_is_named(write: Writer) -> None:
    net, example = nn.Embedding(4, 2), torch.tensor([1, 3])
    with pytest.raises(BundleError, match="aten::embedding cannot be computed: index out of range"):
        _method(write(net, example))((np.array([1, 9]),))
