"""Bias correction: the mean error of quantized layers goes, and no other layer is touched."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from conftest import source_of
from torch import nn
from torch.fx import GraphModule, Interpreter, Node

from edgepack.compress import bias_correction, ptq
from edgepack.compress.calibration import Calibration
from edgepack.compress.simulation import Simulation
from edgepack.graph import layers as graph
from edgepack.model.inference import tensors
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.silence import quiet


def _means(run: Interpreter, source: Source) -> dict[str, torch.Tensor]:
    """Mean of each output channel of each layer over the calibration samples."""
    sums: dict[str, torch.Tensor] = {}

    def seen(n: Node) -> object:
        value = type(run).run_node(run, n)
        if graph.is_layer(n) and isinstance(value, torch.Tensor):
            mean = value.detach().transpose(0, 1).flatten(1).mean(1)
            sums[graph.scope(n)] = sums.get(graph.scope(n), torch.zeros_like(mean)) + mean
        return value

    run.run_node = seen  # type: ignore[method-assign]
    assert source.calib is not None
    with torch.no_grad():
        for sample in source.calib.inputs[:32]:
            run.run(*tensors(sample))
    return {path: each / 32 for path, each in sums.items()}


def _copy(module: GraphModule) -> GraphModule:
    with quiet():
        copied: GraphModule = copy.deepcopy(module)
    return copied


def _error(
    module: GraphModule, recipe: Recipe, calibration: Calibration, found: dict[str, Any]
) -> dict[str, float]:
    exact = calibration.source.exported.module()
    assert isinstance(exact, GraphModule)
    floats = _means(Interpreter(exact), calibration.source)
    rough = _means(Simulation(module, recipe, found), calibration.source)
    return {path: float((rough[path] - floats[path]).norm() / floats[path].norm()) for path in floats}


def test_the_mean_error_of_quantized_layers_goes(small_source: Source) -> None:
    calibration, recipe = Calibration(small_source), Recipe("w8a8")
    module, found = ptq.quantize(calibration, recipe)
    corrected = _copy(module)
    bias_correction.correct(corrected, recipe, found, calibration.samples)
    before, after = (_error(each, recipe, calibration, found) for each in (module, corrected))
    assert len(before) == 12
    for path in before:
        assert after[path] < max(0.5 * before[path], 1e-4), path


def test_layers_in_float_are_not_touched(small_source: Source) -> None:
    calibration, recipe = Calibration(small_source), Recipe("w8a8", {"blocks": "fp32"})
    module, found = ptq.quantize(calibration, recipe)
    corrected = _copy(module)
    bias_correction.correct(corrected, recipe, found, calibration.samples)
    changed = {
        name
        for name, value in corrected.state_dict().items()
        if not torch.equal(value, module.state_dict()[name])
    }
    assert {graph.path_of(name) for name in changed} == {"stem", "classifier"}
    assert all(name.endswith(".bias") for name in changed)


class Split(nn.Module):
    """Halves of channels, as ShuffleNet's, each with a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 8, 1)
        self.left, self.right = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = torch.relu(self.first(x)).chunk(2, dim=1)
        return torch.cat([self.left(left), self.right(right)], 1).mean((2, 3))


def test_what_comes_in_parts_is_corrected_from_all_samples() -> None:
    torch.manual_seed(0)
    rows = list(torch.randn(32, 1, 4, 8, 8) * torch.logspace(-1, 1, 32).reshape(-1, 1, 1, 1, 1))
    calibration, recipe = Calibration(source_of(Split().eval(), rows)), Recipe("w8a8")
    module, found = ptq.quantize(calibration, recipe)
    corrected = _copy(module)
    bias_correction.correct(corrected, recipe, found, calibration.samples)
    before, after = (_error(each, recipe, calibration, found) for each in (module, corrected))
    assert after["left"] < 0.7 * before["left"]
    assert after["right"] == pytest.approx(before["right"], rel=0.5), "it has no bias"


def test_samples_of_several_shapes_are_corrected_by_those_of_the_first(small_source: Source) -> None:
    calibration, recipe = Calibration(small_source), Recipe("w8a8")
    module, found = ptq.quantize(calibration, recipe)
    odd = calibration.samples.take(range(8), "eight")
    mixed = type(odd)((*odd.inputs, (np.zeros((1, 1, 20, 20), np.float32),)), None, "mixed")
    one, other = _copy(module), _copy(module)
    bias_correction.correct(one, recipe, found, odd)
    bias_correction.correct(other, recipe, found, mixed)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name])
