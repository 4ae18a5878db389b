"""Quantization of a source by a recipe, and lowering of the program to XNNPACK."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from executorch.backends.xnnpack.operators import node_visitor
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.backend.partitioner import Partitioner
from torch.export import ExportedProgram
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.traceback import preserve_node_meta
from torchao.quantization import quantize_
from torchao.quantization.granularity import PerGroup
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig
from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import (
    IntxUnpackedToInt8Tensor,
    IntxUnpackedToInt8TensorActivationQuantization,
)

from edgepack.contract import Contract
from edgepack.delegation import Delegation
from edgepack.formats import contract_metadata, operator_kinds
from edgepack.formats.activation_ranges import Ranges
from edgepack.formats.decomposition import Choice, decompose
from edgepack.formats.executorch import (
    attention,
    capability_table,
    delegates,
    embeddings,
    operators,
    recurrent,
)
from edgepack.formats.executorch.quantizer import BLOCK, RecipeQuantizer, float_reason
from edgepack.graph import layers as graphs
from edgepack.graph.quantization_grid import LEAST_STEP, greatest_weight_code
from edgepack.graph.ranges import Range
from edgepack.model.capture import copied
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

_PACKINGS: dict[SchemeName, Int8DynamicActivationIntxWeightConfig] = {
    "w4d": Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int4,  # type: ignore[attr-defined]  # not in torch's stubs
        weight_granularity=PerGroup(BLOCK),
    ),
}


def build(source: Source, recipe: Recipe) -> tuple[ExportedProgram, tuple[str, ...]]:
    """The program to lower, and notes on the layers that stay in float because XNNPACK cannot carry them.

    Raises ExportError if activation ranges are needed and there are no samples.
    """
    graph = source.exported.module()
    schemes = [recipe.at(path) for path, _ in operator_kinds.weighted(graph)]
    has_attention = attention.decompose(graph)
    if all(scheme.is_float and not scheme.is_half for scheme in schemes):
        changed = _prepare(graph) or has_attention
        return (_exported(graph, source) if changed else copied(source.exported)), ()
    if all(scheme.is_half for scheme in schemes):
        _prepare(graph)
        return _exported(_Half(_halved(graph)), source), ()
    notes = operator_kinds.kept_float(graph, recipe, partial(_float_reason, graph))
    if any(scheme.has_int8_arithmetic for scheme in schemes):
        graph = _quantized(graph, source, recipe)
    embeddings.quantize(graph, recipe)
    _pack(graph, recipe)
    _prepare(graph)
    return _exported(graph, source), notes


def _prepare(graph: GraphModule) -> bool:
    """Replace in place what ExecuTorch has no kernels for; whether there was any."""
    return bool(recurrent.as_loops(graph) + operators.prepare(graph))


def prepared(source: Source, listed: Choice) -> ExportedProgram:
    """The float program for a delegate whose own table of operators is `listed`, and that takes no loops.

    Raises ExportError where a recurrent layer has too many steps to be written one by one.
    """
    graph = source.exported.module()
    recurrent.check_steps(graph)
    changed = decompose(graph, lambda node: listed(node) or operators.decomposition(node))
    return _exported(graph, source) if changed else copied(source.exported)


def lowered(
    program: ExportedProgram, contract: Contract, partitioner: Partitioner | None = None
) -> tuple[bytes, Delegation]:
    """The `.pte`, XNNPACK (or who `partitioner` is of) given all that it takes, and what that was."""
    with _half_weights():
        edge = to_edge_transform_and_lower(program, partitioner=[partitioner or XnnpackPartitioner()])
        delegation = delegates.found(edge.exported_program())
        edge._named_data_store.add_named_data(
            contract_metadata.KEY, contract_metadata.written(contract).encode()
        )
        before = copied(edge.exported_program())
        built = edge.to_executorch()
    operators.check_kernels(built, before)
    return built.buffer, delegation


@contextmanager
def _half_weights() -> Iterator[None]:
    """Write a convolution's half-precision weight as it is.

    XNNPACK takes it, but executorch's serializer (`op_conv2d.py`, 1.5.1) makes it single: the file was
    then 0.82 of the float one's size. It does not take that of a transposed convolution.
    """
    written = "aten.convolution.default"
    before: Any = node_visitor._node_visitor_dict[written]

    class AsItIs(before):  # type: ignore[misc]  # executorch is not typed
        def define_node(self, node: Node, *arguments: Any) -> None:
            self._as_it_is = not node.args[6]  # whether it is transposed
            super().define_node(node, *arguments)

        def define_tensor(self, tensor: Node, *arguments: Any, **keywords: Any) -> None:
            if self._as_it_is and tensor.meta["val"].dtype is torch.float16:
                keywords["force_fp32"] = False
            super().define_tensor(tensor, *arguments, **keywords)

    node_visitor._node_visitor_dict[written] = AsItIs
    try:
        yield
    finally:
        node_visitor._node_visitor_dict[written] = before


def _exported(module: torch.nn.Module, source: Source) -> ExportedProgram:
    with torch.no_grad():
        program: ExportedProgram = torch.export.export(module, source.example, strict=False)
        return program


def _halved(graph: GraphModule) -> GraphModule:
    """A copy in half precision, what it makes of its own (a state of zeros) too."""
    halved = copy.deepcopy(graph).half()
    for node in halved.graph.nodes:
        node.args = tuple(torch.float16 if each is torch.float32 else each for each in node.args)
        node.kwargs = {
            key: torch.float16 if each is torch.float32 else each for key, each in node.kwargs.items()
        }
    halved.recompile()
    return halved


class _Half(torch.nn.Module):
    """A model that computes in half precision and is fed and read in single."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        halved = (each.half() if each.dtype is torch.float32 else each for each in inputs)
        with preserve_node_meta():  # each operator keeps its line in the model
            outputs: tuple[torch.Tensor, ...] = Interpreter(self.model).run(*halved)
        return tuple(each.float() if each.dtype is torch.float16 else each for each in outputs)


def _float_reason(graph: GraphModule, layer: Node, scheme: SchemeName) -> str:
    whole = capability_table.XNNPACK.by_name[scheme].whole_file
    return whole or float_reason(graph, layer, scheme)


def _quantized(graph: GraphModule, source: Source, recipe: Recipe) -> GraphModule:
    """`graph` with its static int8 layers, by the ranges of the calibration, and dynamic convolutions."""
    observed = prepare_pt2e(graph, RecipeQuantizer(recipe))
    activations: list[tuple[MinMaxObserver, list[Node]]] = []
    for observer, nodes in _observers(observed):
        if isinstance(observer, PerChannelMinMaxObserver):
            observer(graphs.constant(observed, nodes[0]))
        elif isinstance(observer, MinMaxObserver):
            activations.append((observer, nodes))
    ranges = Ranges(source, "executorch")
    for observer, nodes in activations:
        observer(torch.tensor([end for node in nodes for end in _span(ranges.of(node.name))]))
    converted: GraphModule = convert_pt2e(observed)
    return converted


def _observers(graph: GraphModule) -> list[tuple[torch.nn.Module, list[Node]]]:
    """Observers and the nodes that each watches; tensors that share a scale share one."""
    found: dict[int, tuple[torch.nn.Module, list[Node]]] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            observer = graph.get_submodule(str(node.target))
            found.setdefault(id(observer), (observer, []))[1].append(node.args[0])
    return list(found.values())


def _span(within: Range) -> Range:
    """`within` itself, or 0 to 1 for a tensor that is always zero: a scale of nothing is refused."""
    return within if any(within) else (0.0, 1.0)


def _pack(graph: GraphModule, recipe: Recipe) -> None:
    """Replace the linear layers in `w8d` and `w4d`, in place, by torchao's: int8 weights per channel or
    int4 weights per block, int8 activations with a scale per row at run time (8da8w, 8da4w)."""
    modules: dict[Any, str] = {}  # by weight: a layer may be used twice
    for layer in list(graph.graph.nodes):
        scheme = recipe.of(graphs.scope(layer)) if graphs.is_layer(layer) else "fp32"
        if (
            not SCHEMES[scheme].has_dynamic_activations
            or layer.target not in graphs.LINEAR
            or float_reason(graph, layer, scheme)
        ):
            continue
        if layer.args[1] not in modules:
            modules[layer.args[1]] = f"packed_{len(modules)}"
            module = _Rows(_linear(graph, layer), layer.meta["val"].dim())
            _pack_linear(module.linear, scheme)
            graph.add_module(modules[layer.args[1]], module)
        with graph.graph.inserting_before(layer):
            packed = graph.graph.call_module(modules[layer.args[1]], (layer.args[0],))
        layer.replace_all_uses_with(packed)
        graph.graph.erase_node(layer)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _pack_linear(linear: torch.nn.Linear, scheme: SchemeName) -> None:
    """Pack a layer's weight. In `w8d` its codes are -127 to 127 by the greatest weight of each output, the
    grid of the simulation and of GPTQ; torchao's own choice goes to -128."""
    if scheme != "w8d":
        quantize_(linear, _PACKINGS[scheme])
        return
    weight = linear.weight.detach()
    scale = weight.abs().amax(1, keepdim=True).clamp_min(LEAST_STEP) / greatest_weight_code(8)
    packed = IntxUnpackedToInt8Tensor.from_hp(
        weight,
        (1, weight.shape[1]),
        torch.int8,
        activation_quantization=IntxUnpackedToInt8TensorActivationQuantization.INT8_ASYM_PER_TOKEN,
        intx_choose_qparams_algorithm=None,
        custom_scale=scale,
        custom_zero_point=torch.zeros_like(scale, dtype=torch.int8),
    )
    linear.weight = torch.nn.Parameter(packed, requires_grad=False)


def in_blocks(weight: torch.Tensor) -> torch.Tensor:
    """A linear layer's weight as torchao packs it for `w4d`."""
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    quantize_(linear, _PACKINGS["w4d"])
    packed: torch.Tensor = linear.weight.dequantize()
    return packed


class _Rows(torch.nn.Module):
    """A linear layer that takes a picture's pixels as rows.

    Where four dimensions are quantized at run time, executorch moves the channels between the codes
    and the layer, and then fails ("Weight and Input should both be quantized", 1.5.1).
    """

    def __init__(self, linear: torch.nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.is_picture = rank > 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1]) if self.is_picture else x
        mixed: torch.Tensor = self.linear(rows)
        return mixed.reshape(*x.shape[:-1], -1) if self.is_picture else mixed


def _linear(graph: GraphModule, layer: Node) -> torch.nn.Linear:
    weight = graphs.constant(graph, layer.args[1])  # type: ignore[arg-type]  # a layer has one
    bias = graphs.bias_of(layer)
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        linear.bias = torch.nn.Parameter(graphs.constant(graph, bias).detach(), requires_grad=False)
    return linear
