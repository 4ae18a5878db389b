"""The source's graph with torch's integer kernels in it, ready to be traced.

torch's own ways to int8 TorchScript (quantize_jit, FX) fuse a clamp into the layer before it, and
qnnpack's kernel for a convolution with ReLU6 answers wrongly on x86. Here a clamp is left to the range
of the layer's output: the codes 0 and 255 are its ends (Jacob et al. 2018, arXiv:1712.05877, 2.4).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from edgepack.formats import operator_kinds
from edgepack.formats.activation_ranges import Ranges
from edgepack.formats.torchscript.capability_table import QNNPACK
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN, CLAMPS, ELEMENTWISE, PASSES, clamp_of, pads_zeros
from edgepack.graph.quantization_grid import ActivationGrid
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

_KERNELS = torch.ops.quantized
_STATIC: dict[Any, tuple[Any, Any]] = {
    ATEN.conv1d.default: (_KERNELS.conv1d_prepack, _KERNELS.conv1d),
    ATEN.conv2d.default: (_KERNELS.conv2d_prepack, _KERNELS.conv2d),
    ATEN.linear.default: (_KERNELS.linear_prepack, _KERNELS.linear),
}
"""By operator: what packs its weight, and the kernel."""
_PAIRS: dict[Any, Any] = {
    each: _KERNELS.add if each in (ATEN.add.Tensor, ATEN.add_.Tensor) else _KERNELS.mul
    for each in ELEMENTWISE
}
_LEAST = 1e-12
"""Of a scale: a channel of zeros has one, too."""


def lowered(source: Source, recipe: Recipe) -> tuple[GraphModule, tuple[str, ...]]:
    """The module to trace, its layers under the paths that the recipe knows them by, and what of the
    recipe stays in float.

    Raises ExportError where ranges are wanted and there are no samples.
    """
    module = source.free.module(check_guards=False)
    notes = operator_kinds.kept_float(module, recipe, partial(_float_reason, module))
    if not all(recipe.at(path).is_float for path in graphs.layers(module)):
        _Lowering(module, recipe, Ranges(source, "torchscript")).run()
    _free_sizes(module)
    return _renamed(module), notes


def _float_reason(module: GraphModule, node: Node, scheme: SchemeName) -> str:
    return operator_kinds.float_reason(QNNPACK, module, node, scheme)


def _free_sizes(module: GraphModule) -> None:
    """Ask for sizes as torch's tracer can see it, in place: as methods; an operator called by its
    schema takes the number that the example has."""
    sized: set[Node] = set()
    for node in module.graph.nodes:
        if node.target is ATEN.sym_size.int:
            node.op, node.target = "call_method", "size"
            sized.add(node)
        elif node.op != "call_function" or not sized & set(node.all_input_nodes):
            continue
        elif not isinstance(node.target, OpOverload):
            sized.add(node)  # arithmetic on sizes
        elif hasattr(torch.Tensor, node.target.overloadpacket.__name__):
            node.op, node.target = "call_method", node.target.overloadpacket.__name__


def _renamed(module: GraphModule) -> GraphModule:
    """The same graph with the constants that it still reads, each under its layer's own path."""
    held: dict[str, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            node.target = str(node.target).removeprefix("model.")
            held[node.target] = getattr(module.get_submodule(owner), name)
    module.graph.set_codegen(CodeGen())  # inputs and outputs are flat: no trees are to be traced
    return GraphModule(held, module.graph)


class _Lowering:
    """A pass over a graph, in place: each value is float, or codes of unsigned 8 bits, or both."""

    def __init__(self, module: GraphModule, recipe: Recipe, ranges: Ranges) -> None:
        self._module = module
        self._graph = module.graph
        self._recipe = recipe
        self._ranges = ranges
        self._wanted = graphs.feeding(module, self._is_static)
        """Nodes whose values layers read as codes."""
        self._codes: dict[Node, Node] = {}
        """By the float node that they stand for."""
        self._made: dict[tuple[str, Node], Node] = {}
        """Conversions that are there already."""

    def run(self) -> None:
        """Lower what the recipe wants in int8, and drop what is not read any more."""
        before = list(self._graph.nodes)
        for node in before:
            if node not in self._codes:
                with self._graph.inserting_before(node):
                    self._lower(node)
        for node in reversed(before):
            if not node.users and node.op in ("call_function", "get_attr"):
                self._graph.erase_node(node)

    def _is_static(self, layer: Node) -> bool:
        return self._recipe.at(graphs.scope(layer)).has_static_activations and layer.target in _STATIC

    def _lower(self, node: Node) -> None:
        if node.op == "call_function" and graphs.is_layer(node):
            scheme = self._recipe.at(graphs.scope(node))
            if self._is_static(node):
                kernel = _STATIC[node.target][1]
                self._give(node, kernel, self._read(node.args[0]), self._packed(node))
                return
            if scheme.has_dynamic_activations and node.target in graphs.LINEAR:
                packed = self._packed(node)
                arguments = (self._float(node.args[0]), packed)
                node.replace_all_uses_with(self._graph.call_function(_KERNELS.linear_dynamic, arguments))
                return
        elif node.op == "call_function" and self._lower_unweighted(node):
            return
        for each in node.all_input_nodes:
            if each in self._codes:
                node.replace_input_with(each, self._float(each))

    def _lower_unweighted(self, node: Node) -> bool:
        """Whether the operator could be put to work on codes."""
        if not any(each in self._codes for each in node.all_input_nodes):
            return False
        if node.target in PASSES and (node.target is not ATEN.pad.default or pads_zeros(node)):
            # qnnpack answers in channels-last order, of which no view can be taken
            target = ATEN.reshape.default if node.target is ATEN.view.default else node.target
            codes = self._codes[node.args[0]]  # type: ignore[index]  # its one input
            arguments = (codes, *node.args[1:])
            self._codes[node] = self._graph.call_function(target, arguments, dict(node.kwargs))
            return True
        if not self._is_joined(node):
            return False
        if node.target in _PAIRS and all(_is_float(each) for each in node.args[:2]) and not node.kwargs:
            self._give(node, _PAIRS[node.target], *(self._read(each) for each in node.args[:2]))
            return True
        if node.target is ATEN.cat.default:
            parts = [self._read(each) for each in node.args[0]]  # type: ignore[union-attr]  # a list
            self._give(node, _KERNELS.cat, parts, *(node.args[1:] or (0,)))
            return True
        return False

    def _is_joined(self, node: Node) -> bool:
        """Whether an operator without weights is to give codes."""
        return node in self._wanted and self._recipe.at(graphs.scope(node)).has_static_activations

    def _give(self, node: Node, kernel: Any, *arguments: Any) -> None:
        """Put a kernel in a node's place; its clamp, if any, is the range of the kernel's output."""
        end = clamp_of(node) or node
        codes = self._graph.call_function(kernel, (*arguments, *self._step(end)))
        self._codes[node] = self._codes[end] = codes

    def _step(self, node: Node) -> tuple[float, int]:
        """Scale and zero point; those of the concatenation where that alone reads the node.

        A clamp with a range of its own keeps it.
        """
        users = list(node.users)
        if len(users) == 1 and users[0].target is ATEN.cat.default and self._is_joined(users[0]):
            same = self._ranges.of(node.name) == self._ranges.of(users[0].name)
            if same or node.target not in CLAMPS:
                return self._step(users[0])
        grid = ActivationGrid.of(self._ranges.of(node.name))
        return grid.scale, grid.zero_point

    def _read(self, value: Any) -> Node:
        """The codes of a value, made where it is float."""
        if value in self._codes:
            return self._codes[value]
        if ("codes", value) not in self._made:
            arguments = (value, *self._step(value), torch.quint8)
            self._made["codes", value] = self._graph.call_function(torch.quantize_per_tensor, arguments)
        return self._made["codes", value]

    def _float(self, value: Any) -> Node:
        """The value in float, made where it is codes."""
        if value not in self._codes:
            assert isinstance(value, Node)
            return value
        if ("float", value) not in self._made:
            self._made["float", value] = self._graph.call_method("dequantize", (self._codes[value],))
        return self._made["float", value]

    def _packed(self, layer: Node) -> Node:
        """A node that reads a layer's weight and bias, packed for the kernel."""
        weight = layer.args[1]
        assert isinstance(weight, Node)
        owner, _, name = str(weight.target).rpartition(".")
        holder = self._module.get_submodule(owner)
        if not hasattr(holder, f"{name}_packed"):
            bias = graphs.bias_of(layer)
            floats = graphs.constant(self._module, bias).detach() if bias else None
            pack = _STATIC[layer.target][0]
            codes = _per_channel(graphs.constant(self._module, weight).detach())
            setattr(holder, f"{name}_packed", pack(codes, floats, *_geometry(layer)))
        return self._graph.get_attr(f"{weight.target}_packed")


def _is_float(value: Any) -> bool:
    return isinstance(value, Node) and getattr(value.meta.get("val"), "dtype", None) is torch.float32


def _per_channel(weight: torch.Tensor) -> torch.Tensor:
    """int8 codes of a weight: symmetric, a scale an output channel."""
    scales = (weight.abs().flatten(1).amax(1) / 127).clamp_min(_LEAST).double()
    return torch.quantize_per_channel(weight, scales, torch.zeros(len(scales)).long(), 0, torch.qint8)


def _geometry(layer: Node) -> tuple[Any, ...]:
    """Stride, padding, dilation and groups of a convolution; nothing for a linear layer."""
    if layer.target in graphs.LINEAR:
        return ()
    rank = 1 if layer.target is ATEN.conv1d.default else 2
    told: list[Any] = list(layer.args[3:])
    *lists, groups = told + [[1], [0], [1], 1][len(told) :]
    return (*(list(each) * (rank // len(each)) for each in lists), groups)
