"""Capability tables: what each format carries, by scheme and kind of operator."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from edgepack import formats, target
from edgepack.formats import operator_kinds
from edgepack.formats.capability import OPERATOR_KINDS, Capabilities, Row
from edgepack.graph.palettes import FEW
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES
from edgepack.silence import quiet


class _Net(nn.Module):
    """One layer of each kind, on one sample of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.memory = nn.LSTM(8, 8)
        self.line = nn.Conv1d(8, 8, 1)
        self.up1 = nn.ConvTranspose1d(8, 8, 1)
        self.plane = nn.Conv2d(8, 8, 1)
        self.depth = nn.Conv2d(8, 8, 1, groups=8)
        self.up2 = nn.ConvTranspose2d(8, 8, 1)
        self.grouped = nn.ConvTranspose2d(8, 8, 1, groups=2)
        self.space = nn.Conv3d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.memory(self.table(x))[0].unsqueeze(0).transpose(1, 2)
        y = self.up1(self.line(y)).unsqueeze(-1)
        y = self.grouped(self.up2(self.depth(self.plane(y)))).unsqueeze(-1)
        scores: torch.Tensor = self.head(self.space(y).flatten(2).transpose(1, 2))
        return scores


@pytest.fixture(scope="module")
def graph() -> GraphModule:
    with quiet():
        module = torch.export.export(_Net().eval(), (torch.tensor([1, 2, 3]),), strict=False).module()
    assert isinstance(module, GraphModule)
    return module


def test_the_kinds_of_a_graph_s_operators(graph: GraphModule) -> None:
    kinds = {path: operator_kinds.kind_of(graph, node) for path, node in operator_kinds.weighted(graph)}
    assert kinds == {
        "table": "embedding",
        "memory": "recurrent",
        "line": "conv1d",
        "up1": "conv_transpose1d",
        "plane": "conv2d",
        "depth": "depthwise conv2d",
        "up2": "conv_transpose2d",
        "grouped": "grouped conv_transpose",
        "space": "conv3d",
        "head": "linear",
    }


def test_layers_that_stay_in_float_are_noted_by_reason(graph: GraphModule) -> None:
    table = formats.load("onnx").capabilities()
    notes = operator_kinds.kept_float(
        graph,
        Recipe("w8a8", {"space": "w8"}),
        lambda node, scheme: operator_kinds.float_reason(table, graph, node, scheme),
    )
    assert [note.rpartition(": ")[2] for note in notes] == ["memory", "grouped", "space"]
    assert notes[2].startswith("kept in fp32 (w8: its weight has fewer than 1024 values)")


@pytest.mark.parametrize("name", formats.names())
def test_a_table_has_float_schemes_and_carries_some_layer_in_every_scheme(name: str) -> None:
    table = formats.load(name).capabilities()
    for scheme in table.schemes:
        row = table.by_name[scheme]
        assert set(row.gaps) < set(OPERATOR_KINDS)
        assert all(row.gaps.values())
        assert table.refusal(scheme) == ""
        assert not SCHEMES[scheme].is_float or not row.gaps
    assert any(SCHEMES[scheme].is_float for scheme in table.schemes)


@pytest.mark.parametrize("name", target.names())
def test_a_target_carries_no_more_than_its_formats(name: str) -> None:
    device = formats.load_target(name)
    for choice in device.formats:
        found = formats.load(choice.name)
        assert found.capabilities(device).schemes <= found.schemes


def test_what_a_target_does_not_carry_has_a_reason() -> None:
    phone, jetson = formats.load_target("iphone-12"), formats.load_target("jetson-orin-nano")
    assert "from iOS 18 on" in formats.load("coreml").capabilities(phone).refusal("w4")
    assert "TensorRT" in formats.load("onnx").capabilities(jetson).refusal("w8d")
    assert formats.load("onnx").capabilities(jetson).schemes == {"fp32", "fp16", "w8a8", "w8"}
    assert formats.load("executorch").capabilities(phone).schemes == {"fp32", "fp16", "w8"}


def test_dynamic_activations_have_a_scheme_of_their_own() -> None:
    for name in ("executorch", "torchscript", "onnx"):
        assert "w8d" in formats.load(name).schemes
    assert "w8" not in formats.load("torchscript").schemes
    assert SCHEMES["w8"].is_weight_only
    assert SCHEMES["w4"].is_weight_only


def test_small_weights_stay_in_float_as_the_search_takes_it() -> None:
    table = formats.load("coreml").capabilities()
    assert table.float_reason("p6", "conv2d", FEW)
    assert not table.float_reason("p6", "conv2d", FEW + 1)
    assert not table.float_reason("w8a8", "conv2d", 1), "integer kernels need integer weights"
    assert table.float_reason("w8a8", "conv_transpose2d", FEW)


def test_a_recipe_is_refused_with_the_layer_that_decides() -> None:
    table = Capabilities("it", (Row("fp32"), Row("w8"), Row("p4", refusal="it is too old")))
    assert table.recipe_refusal(Recipe("fp32", {"a": "w8"})) == ""
    assert table.recipe_refusal(Recipe("w8a8")) == "it carries fp32, w8"
    assert table.recipe_refusal(Recipe("w8", {"a": "fp32", "b": "p4"})) == "layer b in p4: it is too old"
    alike = dataclasses.replace(table, mixed="layers are alike")
    assert alike.recipe_refusal(Recipe("w8", {"a": "w8"})) == ""
    assert alike.recipe_refusal(Recipe("w8", {"a": "fp32"})) == "layer a in fp32: layers are alike"


def test_each_layer_in_float_has_its_reason(graph: GraphModule) -> None:
    table = formats.load("onnx").capabilities()
    found = operator_kinds.float_layers(
        graph,
        Recipe("w8a8", {"head": "fp32"}),
        lambda node, scheme: operator_kinds.float_reason(table, graph, node, scheme),
    )
    assert set(found) == {"memory", "grouped", "head"}
    assert found["memory"] == "w8a8: ONNX files keep recurrent layers in float"
    assert found["head"].startswith("the recipe has it in fp32")
