"""The simulation: exact where nothing is quantized, and as far from float as the written int8 file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import graph_of
from torch import nn
from torch.fx import GraphModule

from edgepack import formats, target
from edgepack.arrays import Sample
from edgepack.compress import ptq, simulation
from edgepack.compress.calibration import Calibration
from edgepack.compress.simulation import Simulation
from edgepack.model.inference import tensors
from edgepack.model.source import Source
from edgepack.recipe import Recipe


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def _decibels(given: list[Sample], source: Source) -> float:
    noise = sum(float(np.sum((a[0] - b[0]) ** 2)) for a, b in zip(given, source.reference))
    return 10 * math.log10(sum(float(np.sum(each[0] ** 2)) for each in source.reference) / noise)


@pytest.mark.parametrize("scheme", ["fp32", "fp16"])
def test_a_float_recipe_is_exact(small_source: Source, scheme: str) -> None:
    module = small_source.exported.module()
    assert isinstance(module, GraphModule)
    ranges = {node.name: (-1.0, 1.0) for node in module.graph.nodes}
    simulation = Simulation(module, Recipe(scheme), ranges)
    for sample in small_source.evaluation.inputs[:8]:
        assert torch.equal(simulation.run(*tensors(sample))[0], module(*tensors(sample))[0])


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("w8a8"),
        Recipe("w8a8", {"stem": "fp32", "blocks.2": "fp32"}, ranges="percentile"),
        Recipe("w8a8", ranges="least-error", equalize="exact", correct_bias=True, gptq=True),
    ],
    ids=["plain", "mixed", "repaired"],
)
def test_int8_loses_what_onnx_runtime_s_file_loses(
    small_source: Source, recipe: Recipe, tmp_path: Path
) -> None:
    calibration, module = Calibration(small_source), formats.load("onnx")
    path = tmp_path / "net.onnx"
    module.export(ptq.prepare(calibration, recipe), recipe, target.load("raspberry-pi-5"), path)
    runner = module.load(path)
    written = _decibels([runner(sample) for sample in small_source.evaluation.inputs], small_source)
    simulation = Simulation(*_with(calibration, recipe))
    rows = small_source.evaluation.inputs
    simulated = [tuple(each.numpy() for each in simulation.run(*tensors(row))) for row in rows]
    assert 20 < written < 50
    assert _decibels(simulated, small_source) == pytest.approx(written, abs=1.0)


def _with(
    calibration: Calibration, recipe: Recipe
) -> tuple[GraphModule, Recipe, dict[str, tuple[float, float]]]:
    module, found = ptq.quantize(calibration, recipe)
    return module, recipe, found


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(4, 4, 1) for _ in range(3))
        self.fourth = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        y = nn.functional.max_pool2d(torch.sigmoid(self.second(x)), 2)
        y = self.fourth(torch.cat([self.third(y), y], 1))
        return torch.cat([nn.functional.adaptive_avg_pool2d(y, 1), y.mean((2, 3), keepdim=True)], 1)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ({}, {"x", "relu", "conv2d_1", "sigmoid", "conv2d_2", "cat", "conv2d_3"}),
        ({"first": "fp32"}, {"relu", "conv2d_1", "sigmoid", "conv2d_2", "cat", "conv2d_3"}),
        ({"first": "fp32", "second": "fp32"}, {"sigmoid", "conv2d_2", "cat", "conv2d_3"}),
        ({"first": "fp32", "second": "fp32", "fourth": "fp32"}, {"sigmoid", "conv2d_2"}),
        ({"first": "fp32", "second": "fp32", "third": "fp32", "fourth": "fp32"}, set()),
    ],
)
def test_what_layers_read_and_give_is_quantized_a_clamp_with_its_layer(
    layers: dict[str, str], names: set[str]
) -> None:
    """So is what other operators make of it for a layer; what none reads any more is not."""
    module = graph_of(Net(), torch.zeros(1, 4, 8, 8))
    assert set(simulation.activation_bits(module, Recipe("w8a8", layers))) == names


def test_tensors_that_are_joined_share_what_was_seen(small_source: Source) -> None:
    module = graph_of(Net(), torch.zeros(1, 4, 8, 8))
    seen = {node.name: object() for node in module.graph.nodes if simulation.may_be_quantized(node)}
    found = simulation.shared(module, seen)  # type: ignore[arg-type]
    assert found["conv2d_2"] is found["sigmoid"] is found["cat"] is seen["cat"]
    assert found["relu"] is seen["relu"]
    assert found["adaptive_avg_pool2d"] is seen["adaptive_avg_pool2d"], "joined for no layer"
