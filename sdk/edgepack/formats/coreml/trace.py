"""The model as TorchScript for coremltools, every value named after its layer or node.

coremltools keeps the names of the traced graph for the values and constants of its program, so an operator
of the program is found by name: the layer of the recipe that it is, and its calibrated range.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgepack.contract import Contract, ImageInput
from edgepack.formats.coreml import operators
from edgepack.graph import layers as graphs
from edgepack.model.source import Source
from edgepack.recipe import ROOT
from edgepack.silence import quiet

_ADDED = re.compile(r"_(cast|to|promoted)(_to)?_fp(16|32)$")
"""The suffix that coremltools adds to the name of a value or constant whose type it changes."""
_DATA = ("weight", "y", "x")
"""Inputs of an operator that can be a layer's weight, in that order."""


@dataclass(frozen=True)
class Names:
    """The meaning of names in a MIL program."""

    nodes: Mapping[str, str]
    """The node of `Source.exported`, by the name of its value."""
    layers: Mapping[str, str]
    """The module path of a layer, by the name of its output."""
    uses: Mapping[str, str]
    """The node of a layer, by its module path, for layers that are called once."""
    constants: Mapping[str, str]
    """The module path of the layer that owns a parameter, by the name of the constant."""

    def node(self, value: Any) -> str:
        """The node of a MIL value; empty where it has none."""
        found = self.nodes.get(_ADDED.sub("", value.name))
        if found is None and value.op is not None:  # coremltools renames some linear layers
            found = self.uses.get(self.layer(value.op))
        return found or ""

    def layer(self, operation: Any) -> str:
        """The module path of the layer of a MIL operation; empty where it has none."""
        for value in operation.outputs:
            if path := self.layers.get(_ADDED.sub("", value.name)):
                return path
        weights = (operation.inputs.get(key) for key in _DATA)
        names = (_ADDED.sub("", each.name) for each in weights if getattr(each, "op", None) is not None)
        return next((self.constants[name] for name in names if name in self.constants), "")


@dataclass(frozen=True)
class Traced:
    """The model as TorchScript."""

    script: torch.jit.ScriptModule
    names: Names


def traced(source: Source, picture: ImageInput | None, activation: str) -> Traced:
    """The model of `source`, preceded by the pre-processing of the image input, if any, and followed by
    `activation`."""
    graph = source.exported.module()
    assert isinstance(graph, GraphModule)
    operators.prepare(graph)
    values = _values(graph, source.contract)
    shell = _Shell(picture, activation, values)
    shell.add_module("model", graph)
    with quiet(), torch.no_grad():
        script = torch.jit.trace(shell, _given(source, picture), check_trace=False).eval()
    owners = _owners(graph)
    layers = {values[node.name]: path for node, path in owners.items()}
    often = Counter(owners.values())
    uses = {path: node.name for node, path in owners.items() if often[path] == 1}
    nodes = {name: node for node, name in values.items()}
    if picture is None:
        given = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
        nodes |= {each.name: node for each, node in zip(source.contract.inputs, given)}
    return Traced(script, Names(nodes, layers, uses, _constants(graph)))


def _given(source: Source, picture: ImageInput | None) -> tuple[torch.Tensor, ...]:
    """Example inputs of the traced module: an image is float32 in NCHW."""
    if picture is None:
        return tuple(each.int() if each.dtype is torch.uint8 else each for each in source.example)
    if picture.layout == "NCHW":
        return source.example
    return (source.example[0].permute(0, 3, 1, 2).to(torch.float32),)


def _owners(graph: GraphModule) -> dict[Node, str]:
    """The module path of every node that calls a layer."""
    return {node: graphs.scope(node) for node in graph.graph.nodes if graphs.is_layer(node)}


def _values(graph: GraphModule, contract: Contract) -> dict[str, str]:
    """The name of every node's value: a layer's module path, else the node's name."""
    owners = _owners(graph)
    taken = Counter(each.name for each in (*contract.inputs, *contract.outputs))
    taken.update({part for name, _ in graph.named_modules() for part in name.split(".")})
    values = {}
    for node in graph.graph.nodes:
        if node.op in ("call_function", "placeholder"):
            wanted = _plain(owners.get(node, node.name))
            taken[wanted] += 1
            values[node.name] = wanted if taken[wanted] == 1 else f"{wanted}__{taken[wanted]}"
    return values


def _plain(name: str) -> str:
    """A name of letters, digits and underscores that begins with a letter, as MIL needs it."""
    plain = re.sub(r"\W", "_", "model" if name == ROOT else name)
    return plain if plain[0].isalpha() else f"layer_{plain}"


def _constants(graph: GraphModule) -> dict[str, str]:
    """The layer that owns a parameter, by the parameter's name in the program, where that is unique."""
    names = [name for name, _ in (*graph.named_parameters(), *graph.named_buffers())]
    plain = {name: re.sub(r"\W", "_", f"model.{name}") for name in names}
    often = Counter(plain.values())
    return {short: graphs.path_of(name) for name, short in plain.items() if often[short] == 1}


class _Named(Interpreter):
    """Runs the graph while it is traced, and names the values."""

    def __init__(self, graph: GraphModule, values: Mapping[str, str]) -> None:
        super().__init__(graph)
        self._values = values
        self._given: set[str] = set()

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of `target`. log_softmax is written in a form that 16-bit floats can represent;
        operators that assert a type or alias a value, which coremltools does not support, are left out."""
        if target is torch.ops.aten._assert_tensor_metadata.default:
            return None
        if target is torch.ops.aten.alias.default:
            return args[0]
        if target is torch.ops.aten.log_softmax.int:
            return _log_softmax(*args[:2])
        return super().call_function(target, args, kwargs)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op in ("call_function", "placeholder") and isinstance(result, torch.Tensor):
            self._name(torch._C._get_value_trace(result), self._values[n.name])  # type: ignore[attr-defined]
        return result

    def _name(self, value: Any, name: str) -> None:
        """Name a value that has no name yet: inputs have one, and an operator may return its input."""
        if value.node().kind() != "prim::Param" and value.debugName() not in self._given:
            value.setDebugName(name)
            self._given.add(name)


def _log_softmax(value: torch.Tensor, dim: int) -> torch.Tensor:
    """The logarithm of softmax, with a sum that is never below 1.

    coremltools takes the logarithm of softmax's output, whose values below 2^-24 are 0 in fp16.
    """
    below = value - value.amax(dim, keepdim=True)
    return below - below.exp().sum(dim, keepdim=True).log()


class _Shell(torch.nn.Module):
    """The model, preceded by the part of the pre-processing that Core ML's `ImageType` cannot express."""

    scale: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(
        self,
        picture: ImageInput | None,
        activation: str,
        values: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.activation = activation
        self.values = values
        self.scale, self.bias, self.planes = None, None, True
        if picture:
            self.planes = picture.layout == "NCHW"
            scale, bias = picture.per_channel()
            self.scale = torch.tensor(scale).reshape(1, -1, 1, 1)
            self.bias = torch.tensor(bias).reshape(1, -1, 1, 1)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...] | torch.Tensor:
        if self.scale is not None and self.bias is not None:
            values = inputs[0] * self.scale + self.bias
            inputs = (values if self.planes else values.permute(0, 2, 3, 1),)
        graph = self.get_submodule("model")
        assert isinstance(graph, GraphModule)
        outputs: tuple[torch.Tensor, ...] = _Named(graph, self.values).run(*inputs)
        first = outputs[0]
        if self.activation == "softmax":
            first = torch.softmax(first, dim=-1)
        elif self.activation == "sigmoid":
            first = torch.sigmoid(first)
        return (first, *outputs[1:]) if len(outputs) > 1 else first
