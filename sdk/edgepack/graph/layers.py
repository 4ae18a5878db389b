"""The model's graph: its layers by module path, and batch norm folded into them."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from edgepack.recipe import ROOT

ATEN = torch.ops.aten
CONVOLUTIONS = frozenset({ATEN.conv1d.default, ATEN.conv2d.default, ATEN.conv3d.default})
TRANSPOSED = frozenset({ATEN.conv_transpose1d.default, ATEN.conv_transpose2d.input})
LINEAR = frozenset({ATEN.linear.default})
WEIGHTED = CONVOLUTIONS | TRANSPOSED | LINEAR
"""Operators that are layers: `args` begin with the input, the weight and, if there is one, the bias."""
PASSES = frozenset(
    {
        ATEN.contiguous.default,
        ATEN.dropout.default,
        ATEN.dropout_.default,
        ATEN.flatten.using_ints,
        ATEN.max_pool2d.default,
        ATEN.pad.default,
        ATEN.permute.default,
        ATEN.reshape.default,
        ATEN.slice.Tensor,
        ATEN.squeeze.dim,
        ATEN.transpose.int,
        ATEN.unsqueeze.default,
        ATEN.view.default,
    }
)
"""Operators that move, drop or repeat values and change none, but that `pad` may add one."""
CLAMPS = frozenset(
    {
        ATEN.hardtanh.default,
        ATEN.hardtanh_.default,
        ATEN.relu.default,
        ATEN.relu_.default,
        ATEN.relu6.default,
        ATEN.relu6_.default,
    }
)
"""Activations that an integer kernel computes by the range of its output."""
_BATCH_NORM = ATEN.batch_norm.default
_SIDE = re.compile(r"(?:weight|bias)_((?:ih|hh)\w*)")
"""A parameter of a recurrent layer, by the names that torch gives."""
CELLS = (
    ATEN.lstm_cell.default,
    ATEN.gru_cell.default,
    ATEN.rnn_tanh_cell.default,
    ATEN.rnn_relu_cell.default,
)
"""Recurrent cells: linear layers and activations in one operator."""


def path_of(parameter: str) -> str:
    """The module path of the layer that owns a parameter: `model.features.0.weight` → `features.0`.

    A recurrent cell owns two layers, what it hears and what it remembers: `cell.bias_hh` → `cell.hh`.
    """
    owner, _, name = parameter.rpartition(".")
    path = owner.removeprefix("model").removeprefix(".")
    if side := _SIDE.fullmatch(name):
        return f"{path}.{side[1]}" if path else side[1]
    return path or ROOT


def layers(graph: GraphModule) -> dict[str, Node]:
    """The layers that own a constant weight, by module path, in the order in which they run.

    A layer that is used twice is told once, by its first use.
    """
    found: dict[str, Node] = {}
    for node in graph.graph.nodes:
        if is_layer(node):
            found.setdefault(path_of(str(weight_of(node).target)), node)
    return found


def is_layer(node: Node) -> bool:
    """Whether the node is a convolution or linear layer with a constant weight."""
    if node.op != "call_function" or node.target not in WEIGHTED:
        return False
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr"


def feeding(graph: GraphModule, wanted: Callable[[Node], bool]) -> set[Node]:
    """The nodes whose values reach a layer that is `wanted` before any other layer."""
    found: set[Node] = set()
    for node in reversed(graph.graph.nodes):
        if wanted(node) if is_layer(node) else node in found:
            found |= {each for each in node.all_input_nodes if each.op != "get_attr"}
    return found


def scope(node: Node) -> str:
    """The module path in which any operator stands; `ROOT` at the top."""
    if is_layer(node):
        return path_of(str(weight_of(node).target))
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    return (paths[-1] if paths else "").removeprefix("model").removeprefix(".") or ROOT


def constant(graph: GraphModule, node: Node) -> torch.Tensor:
    """The tensor that a `get_attr` node reads."""
    owner, _, name = str(node.target).rpartition(".")
    held = getattr(graph.get_submodule(owner), name)
    assert isinstance(held, torch.Tensor)
    return held


def set_constant(graph: GraphModule, target: str, value: torch.Tensor) -> None:
    """Put another tensor where `get_attr` nodes of this target read."""
    owner, _, name = target.rpartition(".")
    holder = graph.get_submodule(owner)
    if name in dict(holder.named_buffers(recurse=False)):
        holder.register_buffer(name, value.detach())
    else:
        holder.register_parameter(name, torch.nn.Parameter(value.detach(), requires_grad=False))


def weight_of(layer: Node) -> Node:
    """The node of a layer's constant weight."""
    weight = layer.args[1]
    assert isinstance(weight, Node)
    return weight


def bias_of(layer: Node) -> Node | None:
    """The node of a layer's constant bias; None where it has none."""
    bias = layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")
    return bias if isinstance(bias, Node) and bias.op == "get_attr" else None


def groups(layer: Node) -> int:
    """Groups of a convolution; 1 of a linear layer."""
    given = layer.args[6] if len(layer.args) > 6 else layer.kwargs.get("groups", 1)
    assert isinstance(given, int)
    return given


def fold_batch_norm(graph: GraphModule) -> int:
    """Fold each batch norm into the layer before it, in place; how many were folded.

    Its scale goes into the weight, its shift into the bias (Jacob et al. 2018, arXiv:1712.05877, 3.2).
    One that follows anything else, or a layer that others read or share constants with, stays.
    """
    count = 0
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target is _BATCH_NORM and _foldable(graph, node):
            _fold(graph, node)
            count += 1
    if count:
        graph.graph.eliminate_dead_code()
        graph.delete_all_unused_submodules()
        graph.recompile()
    return count


def _foldable(graph: GraphModule, norm: Node) -> bool:
    layer, *constants = norm.args[:5]
    if not isinstance(layer, Node) or not is_layer(layer) or len(layer.users) != 1 or norm.args[5]:
        return False
    fixed = all(each is None or (isinstance(each, Node) and each.op == "get_attr") for each in constants)
    owned = [each for each in (weight_of(layer), bias_of(layer)) if each]
    alone = all(len(each.users) == 1 for each in owned) and (len(owned) == 2 or _has_no_bias(graph, layer))
    bias = layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")
    fixed = fixed and norm.args[3] is not None and (bias is None or bias_of(layer) is not None)
    return fixed and alone and layer.target not in TRANSPOSED


def _has_no_bias(graph: GraphModule, layer: Node) -> bool:
    """Whether the name of a new bias is free: some modules use a parameter called so otherwise."""
    owner = str(weight_of(layer).target).rpartition(".")[0]
    return not hasattr(graph.get_submodule(owner), "bias")


def _fold(graph: GraphModule, norm: Node) -> None:
    layer = norm.args[0]
    assert isinstance(layer, Node)
    mean, variance = (constant(graph, each) for each in norm.args[3:5] if isinstance(each, Node))
    gain, shift = (
        constant(graph, each) if isinstance(each, Node) else filled
        for each, filled in zip(norm.args[1:3], (torch.ones_like(mean), torch.zeros_like(mean)))
    )
    epsilon = norm.args[7]
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
        with graph.graph.inserting_before(layer):
            bias_node = graph.graph.get_attr(where)
        bias_node.meta.update(weight_node.meta)
        layer.args = (*layer.args[:2], bias_node, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    graph.graph.erase_node(norm)


def without_in_place(graph: GraphModule) -> int:
    """Replace operators that overwrite their input (`relu_`) by those that don't; how many.

    Their names are then the same in every format. One whose input others may read, too, stays: also
    where that is a view, or passed on as it is.
    """
    count = 0
    for node in list(graph.graph.nodes):
        pure = _pure(node)
        if pure is not None:
            with graph.graph.inserting_before(node):
                fresh = graph.graph.call_function(pure, node.args, node.kwargs)
            fresh.meta.update(node.meta)
            node.replace_all_uses_with(fresh)
            graph.graph.erase_node(node)
            count += 1
    if count:
        graph.recompile()
    return count


def _pure(node: Node) -> torch._ops.OpOverload | None:
    """The operator that gives what an in-place one leaves in its input; None for all others."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return None
    name, overload = node.target._schema.name.removeprefix("aten::"), node.target._overloadname
    if "::" in name or not name.endswith("_") or name.endswith("__"):
        return None
    packet = getattr(ATEN, name[:-1], None)
    before = node.args[0] if node.args else None
    alone = isinstance(before, Node) and len(before.users) == 1 and _is_fresh(before)
    return getattr(packet, overload, None) if packet is not None and alone else None


def _is_fresh(node: Node) -> bool:
    """Whether an operator gives memory of its own, not its input's."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    schema = node.target._schema
    passed_on = "dropout" in schema.name  # its schema does not tell
    return not passed_on and all(each.alias_info is None for each in schema.returns)
