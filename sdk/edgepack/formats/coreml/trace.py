"""The model traced for coremltools, every value called after its layer or node.

coremltools calls the values and constants of its program after those of the traced graph, so that a
program's operators are found again by name: which layer of the recipe, which calibrated range.
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
from edgepack.graph import layers as graphs
from edgepack.graph.fold_constants import settled
from edgepack.model.source import Source
from edgepack.recipe import ROOT
from edgepack.silence import quiet

_ADDED = re.compile(r"_(cast|to|promoted)(_to)?_fp(16|32)$")
"""What coremltools adds to the name of a value or constant whose type it changed."""
_DATA = ("weight", "y", "x")
"""Inputs of an operator that can be a layer's weight, in that order."""


@dataclass(frozen=True)
class Names:
    """What the names in a MIL program stand for."""

    nodes: Mapping[str, str]
    """A value's name: the node of `Source.exported` that it is."""
    layers: Mapping[str, str]
    """A value's name: the module path of the layer that gives it."""
    uses: Mapping[str, str]
    """A layer's module path: the node that it is, if it is used once."""
    constants: Mapping[str, str]
    """A constant's name: the module path of the layer that owns the parameter."""

    def node(self, value: Any) -> str:
        """The node that a MIL value is; empty where it is none."""
        found = self.nodes.get(_ADDED.sub("", value.name))
        if found is None and value.op is not None:  # coremltools counts some linear layers anew
            found = self.uses.get(self.layer(value.op))
        return found or ""

    def layer(self, operation: Any) -> str:
        """The module path of the layer that a MIL operation is; empty where it is none."""
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
    """`source` behind the pre-processing of `picture`, if any, and before its `activation`."""
    graph = source.exported.module()
    assert isinstance(graph, GraphModule)
    values = _values(graph, source.contract)
    shell = _Shell(picture, activation, values, settled(graph))
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
    """An example of what the program takes: of a picture, planes of floats."""
    if picture is None or picture.layout == "NCHW":
        return source.example
    return (source.example[0].permute(0, 3, 1, 2).to(torch.float32),)


def _owners(graph: GraphModule) -> dict[Node, str]:
    """The layers' nodes with their module paths, every use of a layer."""
    return {node: graphs.scope(node) for node in graph.graph.nodes if graphs.is_layer(node)}


def _values(graph: GraphModule, contract: Contract) -> dict[str, str]:
    """By node, what its value is called: a layer's by its module path, all others' by the node."""
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
    """A name of letters, digits and underscores that begins with a letter, as MIL wants it."""
    plain = re.sub(r"\W", "_", "model" if name == ROOT else name)
    return plain if plain[0].isalpha() else f"layer_{plain}"


def _constants(graph: GraphModule) -> dict[str, str]:
    """By a parameter's name in the program, the layer that owns it; those that read alike are left out."""
    names = [name for name, _ in (*graph.named_parameters(), *graph.named_buffers())]
    plain = {name: re.sub(r"\W", "_", f"model.{name}") for name in names}
    often = Counter(plain.values())
    return {short: graphs.path_of(name) for name, short in plain.items() if often[short] == 1}


class _Named(Interpreter):
    """Runs the graph while it is traced, and gives the values their names."""

    def __init__(
        self, graph: GraphModule, values: Mapping[str, str], known: Mapping[Node, torch.Tensor]
    ) -> None:
        super().__init__(graph)
        self._values = values
        self._known = known
        self._given: set[str] = set()

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of `target`; a log-softmax written out so that 16-bit floats hold it, and nothing of
        what asserts a type or is another name for a value, which Core ML's converter does not know."""
        if target is torch.ops.aten._assert_tensor_metadata.default:
            return None
        if target is torch.ops.aten.alias.default:
            return args[0]
        if target is torch.ops.aten.log_softmax.int:
            return _log_softmax(*args[:2])
        return super().call_function(target, args, kwargs)

    def run_node(self, n: Node) -> Any:
        if n in self._known:
            return self._known[n]
        result = super().run_node(n)
        if n.op in ("call_function", "placeholder") and isinstance(result, torch.Tensor):
            self._name(torch._C._get_value_trace(result), self._values[n.name])  # type: ignore[attr-defined]
        return result

    def _name(self, value: Any, name: str) -> None:
        """Call `value` so, unless it has its name: the program's inputs, and what an operator hands on."""
        if value.node().kind() != "prim::Param" and value.debugName() not in self._given:
            value.setDebugName(name)
            self._given.add(name)


def _log_softmax(value: torch.Tensor, dim: int) -> torch.Tensor:
    """The logarithm of softmax, whose sum is never under 1.

    coremltools takes the logarithm of softmax's answers, and of those below 2^-24 fp16 keeps none.
    """
    below = value - value.amax(dim, keepdim=True)
    return below - below.exp().sum(dim, keepdim=True).log()


class _Shell(torch.nn.Module):
    """The model behind the part of pre-processing that Core ML's `ImageType` cannot express."""

    scale: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(
        self,
        picture: ImageInput | None,
        activation: str,
        values: Mapping[str, str],
        known: Mapping[Node, torch.Tensor],
    ) -> None:
        super().__init__()
        self.activation = activation
        self.values = values
        self.known = known
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
        outputs: tuple[torch.Tensor, ...] = _Named(graph, self.values, self.known).run(*inputs)
        first = outputs[0]
        if self.activation == "softmax":
            first = torch.softmax(first, dim=-1)
        elif self.activation == "sigmoid":
            first = torch.sigmoid(first)
        return (first, *outputs[1:]) if len(outputs) > 1 else first
