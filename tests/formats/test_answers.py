"""What no int8 layer reads any more stays in float: a grid of 256 values would tie answers that are near."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import source_of
from sources import Write, Written
from torch import nn

from edgepack import formats
from edgepack.model.source import Source
from edgepack.recipe import Recipe

Writer = Callable[[str], Write]
_LEVELS = 256


class Pooled(nn.Module):
    """Ends like SqueezeNet: a convolution, its clamp, a mean over places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 24, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.head(torch.relu(self.stem(x))))
        return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


class Branched(nn.Module):
    """Ends like a detector: boxes and scores of one stream, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.boxes, self.scores = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1), nn.Conv2d(16, 4, 1)
        self.boxes.weight.data *= 100

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return torch.cat([self.boxes(x), self.scores(x)], 1).flatten(2)


class Refused(nn.Module):
    """Ends in a layer that XNNPACK has no int8 kernel for, which gives the sum that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.last = nn.ConvTranspose2d(8, 8, 1, groups=8, bias=False)
        self.last.weight.data.fill_(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.last(self.a(x) + self.b(x))
        return output


def _source(net: nn.Module) -> Source:
    draw = torch.Generator().manual_seed(0)
    return source_of(net, [torch.randn(1, 3, 16, 16, generator=draw) for _ in range(40)])


def _answers(source: Source, write: Write, format_name: str) -> np.ndarray:
    written = write(source, Recipe("w8a8"))
    runner = formats.load(format_name).load(written.path)
    return np.concatenate([runner(sample)[0] for sample in source.evaluation.inputs])


def _kernels(written: Written) -> set[str]:
    """What ONNX Runtime runs the file by, as the list for a reduced build names it."""
    listed = written.exported.companions[0].read_text()
    return set(re.findall(r"(?<=[;,])[A-Z]\w+", listed))


@pytest.mark.parametrize("format_name", ["executorch", "onnx", "torchscript"])
def test_a_pool_behind_the_last_layer_gives_floats(writer: Writer, format_name: str) -> None:
    torch.manual_seed(0)
    source = _source(Pooled())
    write = writer(format_name)
    assert len(np.unique(_answers(source, write, format_name))) > 2 * _LEVELS
    written = write(source, Recipe("w8a8"))
    assert written.holds.quantized == 1
    assert written.sqnr > 35


@pytest.mark.parametrize("format_name", ["executorch", "onnx", "torchscript"])
def test_outputs_that_are_joined_do_not_share_a_scale(writer: Writer, format_name: str) -> None:
    torch.manual_seed(0)
    source = _source(Branched())
    answers = _answers(source, writer(format_name), format_name)[:, 4:]
    exact = np.concatenate([outputs[0] for outputs in source.reference])[:, 4:]
    assert np.abs(answers - exact).max() < 0.05, "scores of about 1, beside boxes of about 100"


def test_what_only_a_refused_layer_reads_is_not_rounded(writer: Writer) -> None:
    torch.manual_seed(0)
    write = writer("executorch")
    source = _source(Refused())
    assert "kept in fp32" in write(source, Recipe("w8a8")).exported.notes[0]
    assert len(np.unique(_answers(source, write, "executorch"))) > 2 * _LEVELS


def test_the_last_linear_layer_of_an_onnx_gives_floats(writer: Writer) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 49, 32))
    source = _source(net)
    write = writer("onnx")
    assert len(np.unique(_answers(source, write, "onnx"))) > 2 * _LEVELS
    assert {"QGemm", "QLinearConv"} <= _kernels(write(source, Recipe("w8a8")))


def test_a_clamp_behind_the_last_layer_stays_with_its_kernel(writer: Writer) -> None:
    torch.manual_seed(0)
    kernels = _kernels(writer("onnx")(_source(Pooled()), Recipe("w8a8")))
    assert "QLinearConv" in kernels
    assert not {"Relu", "Conv"} & kernels
