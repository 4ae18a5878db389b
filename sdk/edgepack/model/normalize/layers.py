"""Layers that a framework wrote as single operators, put together as quantizers and delegates know them.

Keras on its torch backend keeps images channels-last: it transposes before and after each convolution and
adds biases to what was transposed back. Its dense layers, and those of many hand-written models, are a matrix
product and an addition. After these passes they are convolutions and linear layers with a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from edgepack.graph.layers import ATEN, CONVOLUTIONS
from edgepack.model.normalize.constants import constant_nodes

_ADD = (ATEN.add.Tensor,)
_SUBTRACT = (ATEN.sub.Tensor, ATEN.subtract.Tensor)
_MULTIPLY = (ATEN.mul.Tensor, ATEN.multiply.Tensor)
_BINARY = frozenset({*_ADD, *_SUBTRACT, *_MULTIPLY, ATEN.div.Tensor, ATEN.divide.Tensor})
_UNARY = frozenset(
    {ATEN.relu.default, ATEN.relu6.default, ATEN.clamp.default, ATEN.hardtanh.default, ATEN.sigmoid.default,
     ATEN.tanh.default, ATEN.silu.default, ATEN.gelu.default, ATEN.hardswish.default, ATEN.elu.default,
     ATEN.hardsigmoid.default, ATEN.leaky_relu.default, ATEN.clamp_min.default, ATEN.clamp_max.default}
)  # fmt: skip
"""Elementwise operators of one tensor: they commute with a permutation."""


def restore_linear(module: GraphModule) -> int:
    """Make matrix products with a constant [K, N], and what is added, a linear layer; return how many."""
    constants = constant_nodes(module)
    count = sum(_addmm_as_linear(module.graph, node, constants) for node in module.graph.nodes)
    for node in module.graph.find_nodes(op="call_function", target=ATEN.matmul.default):
        value, weight = _args(node)
        if weight not in constants or value in constants or weight.meta["val"].ndim != 2:
            continue
        if value.meta["val"].ndim < 2:
            continue
        with module.graph.inserting_before(node):
            turned = _call(module.graph, ATEN.permute.default, (weight, [1, 0]), weight)
        added = _addition(node, constants, weight.meta["val"].shape[1])
        last = node if added is None else added
        with module.graph.inserting_before(last):
            bias = () if added is None else (_flat(module.graph, _other(added, node), node),)
            layer = _call(module.graph, ATEN.linear.default, (value, turned, *bias), node)
        last.replace_all_uses_with(layer)
        module.graph.erase_node(last)
        if last is not node:
            module.graph.erase_node(node)
        count += 1
    return count


def _addmm_as_linear(graph: Graph, node: Node, constants: dict[Node, None]) -> bool:
    """The same for a product and a sum in one operator, as in GPT-2."""
    if node.target is not ATEN.addmm.default or node.kwargs:
        return False
    bias, value, weight = _args(node)
    is_layer = bias in constants and weight in constants and value not in constants
    if not is_layer or bias.meta["val"].shape != weight.meta["val"].shape[1:]:
        return False
    with graph.inserting_before(node):
        turned = _call(graph, ATEN.permute.default, (weight, [1, 0]), node)
        node.replace_all_uses_with(_call(graph, ATEN.linear.default, (value, turned, bias), node))
    graph.erase_node(node)
    return True


def _addition(node: Node, constants: dict[Node, None], size: int) -> Node | None:
    """The one reader of `node`, if it adds a constant of `size` values along the last dimension."""
    reader = next(iter(node.users)) if len(node.users) == 1 else None
    if reader is None or reader.target not in _ADD or reader.kwargs:
        return None
    other = _other(reader, node)
    if other not in constants:
        return None
    shape = other.meta["val"].shape
    is_bias = len(shape) > 0 and shape[-1] == size and other.meta["val"].numel() == size
    return reader if is_bias and len(shape) <= node.meta["val"].ndim else None


def _other(reader: Node, node: Node) -> Any:
    """The argument of a binary operator that is not `node`."""
    first, second = _args(reader)[:2]
    return second if first is node else first


def sink_permutes(module: GraphModule) -> int:
    """Move permutations behind elementwise operators and concatenations until they cancel; return how many.

    A permutation that moved and did not cancel costs no more where it is.
    """
    constants = constant_nodes(module)
    count = 0
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node in constants:
            continue
        if node.target is ATEN.permute.default and _cancels(node):
            node.replace_all_uses_with(_args(_args(node)[0])[0])
            count += 1
        elif _sunk(module.graph, node, constants):
            count += 1
    module.graph.eliminate_dead_code()
    return count


def _permutation(node: Any) -> list[int] | None:
    """The permutation that a node applies; None if it is no permutation, or one of a matrix."""
    if not isinstance(node, Node) or node.target is not ATEN.permute.default:
        return None
    dims: Any = node.args[1]
    found = [int(dim) % len(dims) for dim in dims]
    return found if len(found) > 2 else None


def _is_movable(permute: Node) -> bool:
    """Whether all readers of a permutation commute with it: else it would be there twice."""
    known = {*_BINARY, *_UNARY, ATEN.mean.dim, ATEN.cat.default, ATEN.pad.default, ATEN.permute.default}
    return all(user.target in known for user in permute.users)


def _cancels(node: Node) -> bool:
    outer, inner = _permutation(node), _permutation(node.args[0])
    return outer is not None and inner is not None and [inner[dim] for dim in outer] == sorted(outer)


def _sunk(graph: Graph, node: Node, constants: dict[Node, None]) -> bool:
    """Let `node` read what its permuted inputs permute, and permute its output instead."""
    target: Any = node.target
    if target is ATEN.cat.default:
        return _sunk_cat(graph, node)
    if target is ATEN.mean.dim:
        return _sunk_mean(graph, node)
    if target is ATEN.pad.default:
        return _sunk_pad(graph, node)
    sources = _args(node)[: 2 if target in _BINARY else 1 if target in _UNARY else 0]
    permuted = [each for each in sources if _permutation(each)]
    order = _permutation(permuted[0]) if permuted else None
    if order is None or not all(_is_movable(each) for each in permuted):
        return False
    args = list(_args(node))
    with graph.inserting_before(node):
        for place, source in enumerate(sources):
            if _permutation(source) == order:
                args[place] = source.args[0]
            elif isinstance(source, Node):
                if source not in constants or source.meta["val"].ndim > len(order):
                    return False
                args[place] = _turned_back(graph, source, order)
        _put(graph, node, args, order)
    return True


def _turned_back(graph: Graph, constant: Node, order: list[int]) -> Node:
    """A constant as it is broadcast before a permutation `order`."""
    shape = list(constant.meta["val"].shape)
    if sum(size > 1 for size in shape) == 0 and len(shape) <= 1:
        return constant
    shape = [1] * (len(order) - len(shape)) + shape
    whole = _call(graph, ATEN.reshape.default, (constant, shape), constant)
    return _call(graph, ATEN.permute.default, (whole, [order.index(dim) for dim in range(len(order))]), whole)


def _sunk_cat(graph: Graph, node: Node) -> bool:
    """The same for a concatenation, if all its parts are permuted alike."""
    parts: Any = node.args[0]
    orders = [_permutation(part) for part in parts]
    order = orders[0] if orders else None
    if order is None or any(each != order for each in orders) or not all(map(_is_movable, parts)):
        return False
    axis = _args(node)[1] % len(order) if len(node.args) > 1 else 0
    with graph.inserting_before(node):
        _put(graph, node, [[part.args[0] for part in parts], order[axis]], order)
    return True


def _sunk_mean(graph: Graph, node: Node) -> bool:
    """The same for a mean over dimensions."""
    source: Any = node.args[0]
    order, given = _permutation(source), _args(node)[1]
    if order is None or not isinstance(given, (list, tuple)) or not _is_movable(source) or node.kwargs:
        return False
    dims = [int(dim) % len(order) for dim in given]
    args = [source.args[0], [order[dim] for dim in dims], *node.args[2:]]
    kept = [order[dim] for dim in range(len(order)) if dim not in dims]
    with graph.inserting_before(node):
        if len(node.args) > 2 and node.args[2]:
            _put(graph, node, args, order)
        elif kept == sorted(kept):
            node.replace_all_uses_with(_call(graph, ATEN.mean.dim, tuple(args), node))
            graph.erase_node(node)
        else:
            return False
    return True


def _sunk_pad(graph: Graph, node: Node) -> bool:
    """The same for padding with a constant, whose amounts are listed from the last dimension on."""
    source, amounts, *rest = _args(node)
    order = _permutation(source)
    is_constant = not rest or rest[0] == "constant"
    if order is None or not is_constant or node.kwargs or not _is_movable(source):
        return False
    pairs = [amounts[n : n + 2] for n in range(0, len(amounts), 2)]
    by_dim = {order[len(order) - 1 - n]: pair for n, pair in enumerate(pairs)}
    moved = [amount for dim in reversed(range(len(order))) for amount in by_dim.get(dim, [0, 0])]
    with graph.inserting_before(node):
        _put(graph, node, [source.args[0], moved, *rest], order)
    return True


def _put(graph: Graph, node: Node, args: Sequence[Any], order: list[int]) -> None:
    """Replace `node` by itself on `args`, permuted by `order`."""
    moved = _call(graph, node.target, tuple(args), node, node.kwargs)
    back = _call(graph, ATEN.permute.default, (moved, order), node)
    node.replace_all_uses_with(back)
    graph.erase_node(node)


def fold_affine(module: GraphModule) -> int:
    """Fold what is added to, subtracted from or multiplied with a convolution's channels into its weights.

    Returns how many operators were folded. The weights become products of constants, which are folded next.
    """
    constants = constant_nodes(module)
    count = 0
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in (*_ADD, *_SUBTRACT, *_MULTIPLY) and not node.kwargs:
            count += _folded(module.graph, node, constants)
    return count


def _folded(graph: Graph, node: Node, constants: dict[Node, None]) -> bool:
    layer, other = _args(node)[:2]
    if other not in constants and node.target not in _SUBTRACT:
        layer, other = other, layer
    if not isinstance(layer, Node) or not isinstance(other, Node) or other not in constants:
        return False
    if layer.target not in CONVOLUTIONS or len(layer.users) > 1 or layer.args[1] not in constants:
        return False
    result = layer.meta["val"]
    shape = [1] * (result.ndim - other.meta["val"].ndim) + list(other.meta["val"].shape)
    channels = result.shape[1]
    if other.meta["val"].dtype != result.dtype or shape != [1, channels] + [1] * (result.ndim - 2):
        return False
    value, weight = _args(layer)[:2]
    bias, rest = _args(layer)[2] if len(layer.args) > 2 else None, _args(layer)[3:]
    if bias is not None and bias not in constants:
        return False
    with graph.inserting_before(node):  # behind the constant
        change = _flat(graph, other, layer)
        if node.target in _MULTIPLY:
            sizes = [channels] + [1] * (weight.meta["val"].ndim - 1)
            factor = _call(graph, ATEN.reshape.default, (change, sizes), other)
            weight = _call(graph, ATEN.mul.Tensor, (weight, factor), weight)
            bias = None if bias is None else _call(graph, ATEN.mul.Tensor, (bias, change), bias)
        else:
            change = _call(graph, ATEN.neg.default, (change,), other) if node.target in _SUBTRACT else change
            bias = change if bias is None else _call(graph, ATEN.add.Tensor, (bias, change), bias)
        new = _call(graph, layer.target, (value, weight, bias, *rest), layer, layer.kwargs)
    for each in (weight, bias, change):
        if each is not None:
            constants.setdefault(each)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    graph.erase_node(layer)
    return True


def _args(node: Node) -> tuple[Any, ...]:
    return node.args


def _flat(graph: Graph, constant: Any, like: Node) -> Node:
    """A constant as a vector."""
    if constant.meta["val"].ndim == 1:
        found: Node = constant
        return found
    return _call(graph, ATEN.reshape.default, (constant, [-1]), like)


def _call(graph: Graph, target: Any, args: tuple[Any, ...], like: Node, kwargs: Any = None) -> Node:
    """A new operator with the place in the model of `like`, and a value of the right shape."""
    node = graph.call_function(target, args, dict(kwargs or {}))
    node.meta.update(like.meta)
    given = map_arg((args, node.kwargs), lambda each: each.meta["val"])
    with torch.no_grad():
        node.meta["val"] = target(*given[0], **given[1])
    return node
