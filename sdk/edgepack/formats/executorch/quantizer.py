"""PT2E quantizer for XNNPACK: annotates the tensors that are quantized, by the recipe.

ExecuTorch's own XNNPACKQuantizer has no scheme per layer and leaves an observer between a layer and the
ReLU6 that clamps it: the unclamped range then sets the scale, and most int8 codes are above 6. Here a
layer and its clamp are one operator, as in XNNPACK.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgepack.formats import operator_kinds
from edgepack.formats.executorch import capability_table
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN, CLAMPS, ELEMENTWISE, PASSES, pads_zeros
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

BLOCK = 32
"""Weights that share a scale in `w4d`; XNNPACK takes multiples of 32 that divide the layer's width."""

_RELUS = frozenset({ATEN.relu.default, ATEN.relu_.default})
"""What XNNPACK computes with the sum or product before it."""
_POOLS = frozenset({ATEN.adaptive_avg_pool2d.default, ATEN.mean.dim})
_CHANNELS_LAST = frozenset(
    {
        ATEN.conv2d.default,
        ATEN.conv_transpose2d.input,
        ATEN.max_pool2d.default,
        ATEN.avg_pool2d.default,
        ATEN.adaptive_avg_pool2d.default,
    }
)
"""Operators that XNNPACK computes with the channels last."""
_KEEPS_ORDER = CLAMPS | {
    ATEN.dropout.default,
    ATEN.gelu.default,
    ATEN.hardswish.default,
    ATEN.pad.default,
    ATEN.sigmoid.default,
    ATEN.silu.default,
    ATEN.tanh.default,
}
"""Operators that it computes in the order in which it holds their input."""
_ON_CODES = (PASSES - {ATEN.pad.default}) | CLAMPS
"""What XNNPACK computes on the very codes of its input, by the scale of its input."""

_ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=MinMaxObserver,
)
_DYNAMIC = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    is_dynamic=True,
    observer_or_fake_quant_ctr=PlaceholderObserver,
)


def float_reason(graph: GraphModule, layer: Node, scheme: SchemeName) -> str:
    """Why XNNPACK has no kernel for a layer in a scheme; empty where it has one.

    The capability table decides by the kind of operator, the shapes and neighbours of the layer the rest.
    """
    if reason := operator_kinds.float_reason(capability_table.XNNPACK, graph, layer, scheme):
        return reason
    properties = SCHEMES[scheme]
    if properties.granularity == "block":
        width = graphs.constant(graph, graphs.weight_of(layer)).shape[1]
        return "" if width % BLOCK == 0 else f"its width is no multiple of {BLOCK}"
    if properties.has_dynamic_activations and graphs.is_layer(layer) and layer.target not in graphs.LINEAR:
        read = layer.args[0]
        assert isinstance(read, Node)
        if read.op != "placeholder" and not _is_channels_last(read):
            return "XNNPACK does not hold what it reads with the channels last, as dynamic int8 needs"
    return ""


def _is_channels_last(value: Any) -> bool:
    """Whether XNNPACK is known to hold a tensor with its channels last.

    Where it does not, executorch 1.5.1 moves the channels of codes that were made at run time, and the
    convolution that reads them answers at random, or fails ("Propagating input shapes failed").
    """
    if not isinstance(value, Node) or value.op != "call_function":
        return False
    if value.target in _CHANNELS_LAST or _is_global_pool(value):
        return True
    reads = value.args[0] if value.target is ATEN.cat.default else value.args[:2]
    if value.target in ELEMENTWISE or value.target is ATEN.cat.default:
        return all(_is_channels_last(each) for each in reads)  # type: ignore[union-attr]  # tensors
    return value.target in _KEEPS_ORDER and _is_channels_last(value.args[0])


def _is_global_pool(node: Node) -> bool:
    """Whether a mean is one over a picture's pixels that keeps its four dimensions."""
    return node.target is ATEN.mean.dim and node.args[1:] in (
        ([2, 3], True),
        ([-2, -1], True),
        ([-1, -2], True),
    )


class RecipeQuantizer(Quantizer):  # type: ignore[misc]  # torchao is not typed
    """Annotates the layers that a recipe has in int8: `w8a8` layers, and the convolutions in `w8d`.

    An operator without weights is quantized if its module is, its input is, and a static layer reads its
    output.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._read: set[Node] = set()

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate `model`, whose nodes must be in order of execution."""
        self._read = graphs.feeding(model, lambda layer: self._is_static(model, layer))
        for node in model.graph.nodes:
            if node.op != "call_function" or _annotated(node):
                continue
            if graphs.is_layer(node):
                self._layer(model, node)
            elif _reads_codes(node):
                self._unweighted(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing is left to check: `annotate` skips the layers that XNNPACK has no kernel for."""

    def _is_static(self, model: GraphModule, layer: Node) -> bool:
        scheme = self._recipe.at(graphs.scope(layer))
        return scheme.has_static_activations and not float_reason(model, layer, scheme.name)

    def _layer(self, model: GraphModule, node: Node) -> None:
        scheme = self._recipe.at(graphs.scope(node))
        if scheme.activations == "float" or float_reason(model, node, scheme.name):
            return
        read: Any = node.args[0]
        weight = node.args[1]
        if scheme.has_dynamic_activations and node.target in graphs.LINEAR:
            return  # torchao packs it
        if scheme.has_dynamic_activations:
            _annotate(node, {read: _DYNAMIC, weight: _weight(node)})
            # XNNPACK answers wrongly where convolutions of unequal kernels share codes made at run time
            node.meta[Q_ANNOTATION_KEY].allow_implicit_sharing = False
            return
        if _is_joined_pad(read):
            _annotate(read, {read.args[0]: _ACTIVATION})
            _annotate(node, {weight: _weight(node)})
        else:
            _annotate(node, {read: _ACTIVATION, weight: _weight(node)})
        _give(node, CLAMPS, _ACTIVATION)

    def _unweighted(self, node: Node) -> None:
        if node.target in _ON_CODES:
            before = node.args[0]
            _annotate(node, {before: SharedQuantizationSpec(before)}, SharedQuantizationSpec(before))
        elif not self._recipe.at(graphs.scope(node)).has_static_activations or node not in self._read:
            return
        elif node.target in _POOLS:
            _annotate(node, {node.args[0]: _ACTIVATION}, _ACTIVATION)
        elif node.target is ATEN.cat.default:
            first, *others = dict.fromkeys(node.args[0])  # type: ignore[arg-type]
            shared = SharedQuantizationSpec((first, node))
            _annotate(node, {first: _ACTIVATION, **dict.fromkeys(others, shared)}, shared)
        elif all(_is_float(each) for each in node.args[:2]):
            _annotate(node, dict.fromkeys(node.args[:2], _ACTIVATION))
            _give(node, _RELUS, _ACTIVATION)


def _reads_codes(node: Node) -> bool:
    """Whether an operator without weights can be quantized and has an input that is."""
    if node.target in _ON_CODES | _POOLS:
        return _quantized(node.args[0])
    if node.target in ELEMENTWISE or node.target is ATEN.cat.default:
        return any(_quantized(each) for each in node.all_input_nodes)
    return False


def _quantized(value: Any) -> bool:
    """Whether a node's value is in static int8."""
    annotation = value.meta.get(Q_ANNOTATION_KEY) if isinstance(value, Node) else None
    return annotation is not None and annotation.output_qspec is not None


def _annotated(node: Node) -> bool:
    return Q_ANNOTATION_KEY in node.meta


def _is_joined_pad(value: Any) -> bool:
    """Whether a convolution's input is a pad of zeros that XNNPACK computes on codes: it must stand
    between the codes and the convolution, with no observer of its own."""
    is_pad = isinstance(value, Node) and value.target is ATEN.pad.default
    return is_pad and len(value.users) == 1 and pads_zeros(value) and min(value.args[1]) >= 0


def _is_float(value: Any) -> bool:
    return isinstance(value, Node) and getattr(value.meta.get("val"), "dtype", None) is torch.float32


def _annotate(node: Node, reads: dict[Any, Any], gives: Any = None) -> None:
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map=reads, output_qspec=gives, _annotated=True
    )


def _give(node: Node, fused: frozenset[Any], spec: QuantizationSpec) -> None:
    """Quantize what leaves an operator: behind the clamp that alone reads it, or at once."""
    users = list(node.users)
    if len(users) == 1 and users[0].target in fused:
        _annotate(users[0], {}, spec)
    else:
        node.meta[Q_ANNOTATION_KEY].output_qspec = spec


def _weight(layer: Node) -> QuantizationSpec:
    """int8, symmetric, a scale an output channel."""
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=1 if layer.target in graphs.TRANSPOSED else 0,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
    )
