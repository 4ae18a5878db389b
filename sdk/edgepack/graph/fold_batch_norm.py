"""Batch norm, folded into the layers before it (Jacob et al. 2018, arXiv:1712.05877, 3.2)."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from edgepack.graph.layers import (
    ATEN,
    LINEAR,
    TRANSPOSED,
    bias_of,
    constant,
    is_layer,
    set_constant,
    weight_of,
)

_BATCH_NORM = ATEN.batch_norm.default
_GAIN, _SHIFT, _MEAN, _VARIANCE, _TRAINING, _EPSILON = 1, 2, 3, 4, 5, 7
"""Places of `aten::batch_norm`'s arguments."""


def fold_batch_norm(graph: GraphModule) -> int:
    """Fold each batch norm into the layer before it, in place; return how many were folded.

    The scale goes into the weight and the shift into the bias. A batch norm stays if it follows anything
    but a layer, or a layer that others read or share constants with.
    """
    count = 0
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target is _BATCH_NORM and _is_foldable(graph, node):
            _fold(graph, node)
            count += 1
    if count:
        graph.graph.eliminate_dead_code()
        graph.delete_all_unused_submodules()
        graph.recompile()
    return count


def _is_foldable(graph: GraphModule, norm: Node) -> bool:
    layer = norm.args[0]
    if not isinstance(layer, Node) or not is_layer(layer) or layer.target in TRANSPOSED:
        return False
    is_only_reader = len(layer.users) == 1
    return is_only_reader and _has_constants(norm) and _owns_constants(graph, layer)


def _has_constants(norm: Node) -> bool:
    """Whether the batch norm has fixed statistics, and a gain and a shift that are constant or absent."""
    given = [norm.args[place] for place in (_GAIN, _SHIFT, _MEAN, _VARIANCE)]
    fixed = all(each is None or (isinstance(each, Node) and each.op == "get_attr") for each in given)
    return fixed and norm.args[_MEAN] is not None and not norm.args[_TRAINING]


def _owns_constants(graph: GraphModule, layer: Node) -> bool:
    """Whether only this layer reads its weight and its bias, and a bias can be added if it has none."""
    bias = layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")
    bias_node = bias_of(layer)
    if bias_node is None:
        return bias is None and len(weight_of(layer).users) == 1 and _is_bias_name_free(graph, layer)
    return len(weight_of(layer).users) == len(bias_node.users) == 1


def _is_bias_name_free(graph: GraphModule, layer: Node) -> bool:
    """Whether the layer's module has no attribute `bias` yet; some modules use one for something else."""
    owner = str(weight_of(layer).target).rpartition(".")[0]
    return not hasattr(graph.get_submodule(owner), "bias")


def _fold(graph: GraphModule, norm: Node) -> None:
    layer = norm.args[0]
    assert isinstance(layer, Node)
    mean, variance = _constant(graph, norm, _MEAN), _constant(graph, norm, _VARIANCE)
    assert mean is not None
    assert variance is not None
    gain, shift = _constant(graph, norm, _GAIN), _constant(graph, norm, _SHIFT)
    gain = torch.ones_like(mean) if gain is None else gain
    shift = torch.zeros_like(mean) if shift is None else shift
    epsilon = norm.args[_EPSILON]
    assert isinstance(epsilon, float)
    weight_node, bias_node = weight_of(layer), bias_of(layer)
    bias = constant(graph, bias_node) if bias_node else None
    fuse = fuse_linear_bn_weights if layer.target in LINEAR else fuse_conv_bn_weights
    weight, folded = fuse(constant(graph, weight_node), bias, mean, variance, epsilon, gain, shift)
    target = str(weight_node.target)
    set_constant(graph, target, weight)
    where = str(bias_node.target) if bias_node else target.rpartition(".")[0] + ".bias"
    set_constant(graph, where, folded)
    if bias_node is None:
        _add_bias(graph, layer, where)
    norm.replace_all_uses_with(layer)
    graph.graph.erase_node(norm)


def _constant(graph: GraphModule, norm: Node, place: int) -> torch.Tensor | None:
    node = norm.args[place]
    return constant(graph, node) if isinstance(node, Node) else None


def _add_bias(graph: GraphModule, layer: Node, target: str) -> None:
    """Let a layer without bias read the constant `target` as its bias."""
    with graph.graph.inserting_before(layer):
        bias_node = graph.graph.get_attr(target)
    bias_node.meta.update(weight_of(layer).meta)
    layer.args = (*layer.args[:2], bias_node, *layer.args[3:])
