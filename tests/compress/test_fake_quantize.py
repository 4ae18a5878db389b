"""Fake quantization: what runtimes compute, with gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch.fx import GraphModule

from edgepack import formats
from edgepack.compress import simulation
from edgepack.compress.distillation import distill
from edgepack.compress.fake_quantize import FakeQuantized
from edgepack.graph import layers as graph
from edgepack.model import capture, inference
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.silence import quiet

POINTWISE = "model.blocks.4.pointwise.weight"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with inference.one_thread():
        yield


@pytest.fixture
def module(fashion: Source) -> GraphModule:
    with quiet():
        program: GraphModule = copy.deepcopy(fashion.exported.module())
    return program


def _weight(faked: FakeQuantized, module: GraphModule) -> torch.Tensor:
    return faked.weights[POINTWISE].rounded(module.get_parameter(POINTWISE).detach())


def test_int8_is_what_the_simulation_computes(fashion: Source, module: GraphModule) -> None:
    recipe = Recipe("w8a8")
    ranges = {node.name: (-3.0, 5.0) for node in module.graph.nodes}
    ours = FakeQuantized(module, recipe, ranges)(*fashion.example)[0]
    theirs = simulation.Simulation(module, recipe, ranges).run(*fashion.example)[0]
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, module(*fashion.example)[0])


def test_the_written_palette_is_the_weight_itself(module: GraphModule) -> None:
    faked = FakeQuantized(module, Recipe("p4"), {})
    assert torch.allclose(_weight(faked, module), module.get_parameter(POINTWISE), atol=1e-6)


def test_a_palette_has_two_to_the_bits_values(module: GraphModule) -> None:
    with torch.no_grad():
        assert len(_weight(FakeQuantized(module, Recipe("p4"), {}), module).unique()) == 16


def test_a_sparse_palette_keeps_its_zeros(module: GraphModule) -> None:
    weight = module.get_parameter(POINTWISE)
    with torch.no_grad():
        weight[:, ::2] = 0
        given = weight.clone()
        rounded = _weight(FakeQuantized(module, Recipe("sparse+p6"), {}), module)
    assert torch.equal(rounded == 0, given == 0)
    assert len(rounded.unique()) <= 65


@pytest.mark.parametrize(("name", "levels"), [("coreml", 15), ("executorch", 16)])
def test_four_bit_weights_have_one_scale_per_block(module: GraphModule, name: str, levels: int) -> None:
    weight = module.get_parameter(POINTWISE).detach().flatten(1)
    blocks = formats.load(name).weight_storage().in_blocks(weight).unflatten(1, (2, 32))
    assert all(len(block.unique()) <= levels for row in blocks for block in row)
    assert len(blocks.unique()) > 100
    given = weight.unflatten(1, (2, 32))
    assert ((blocks - given).abs().amax(-1) <= given.abs().amax(-1) / 13.9).all()


def test_layers_in_float_stay_as_they_are(fashion: Source, module: GraphModule) -> None:
    floats = Recipe("p4", dict.fromkeys(graph.layers(module), "fp32"))
    assert torch.equal(FakeQuantized(module, floats, {})(*fashion.example)[0], module(*fashion.example)[0])


def test_training_improves_quantized_weights(fashion: Source, module: GraphModule) -> None:
    assert fashion.module is not None
    assert fashion.calib is not None

    def fake(given: torch.nn.Module) -> FakeQuantized:
        assert isinstance(given, GraphModule)
        return FakeQuantized(given, Recipe("p4"), {})

    before = module.get_parameter(POINTWISE).detach().clone()
    ended = distill(
        module, fashion.module, fashion.calib, classifier=True, steps=20, rate=0.002, fake_quantize=fake
    )
    assert ended.after.sqnr_db > ended.before.sqnr_db
    assert torch.equal(module.get_parameter(POINTWISE), before)
    assert len(ended.module.get_parameter(POINTWISE).unique()) <= 16
    assert capture.captured(ended.module, fashion.example).module()(*fashion.example)[0].shape == (1, 10)
