"""Tensors of more than five dimensions, which Core ML has not, computed as flat ones.

Attention in windows, pixel shuffles and channel shuffles write a picture as rows and columns of blocks,
permute six or seven dimensions, and join them again. Each of these tensors is kept as its values in a row,
and each operator works on the few dimensions that it is about: a permutation moves one block at a time.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.formats.decomposition import argument, rename, take_over
from edgepack.formats.unsupported_operators import refused
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN
from edgepack.model.normalize.emitter import Emitter

MOST = 5
"""Dimensions of a tensor of Core ML."""
_RESHAPES = frozenset(
    {ATEN.reshape.default, ATEN.view.default, ATEN._unsafe_view.default, ATEN.unflatten.int,
     ATEN.flatten.using_ints, ATEN.unsqueeze.default, ATEN.squeeze.default, ATEN.squeeze.dim,
     ATEN.squeeze.dims, ATEN.clone.default, ATEN.contiguous.default, ATEN.alias.default}
)  # fmt: skip
_ELEMENTWISE = frozenset(
    {ATEN.relu.default, ATEN.gelu.default, ATEN.silu.default, ATEN.sigmoid.default, ATEN.tanh.default,
     ATEN.exp.default, ATEN.neg.default, ATEN.abs.default, ATEN.sqrt.default, ATEN.rsqrt.default,
     ATEN.add.Tensor, ATEN.sub.Tensor, ATEN.mul.Tensor, ATEN.div.Tensor, ATEN.add.Scalar, ATEN.sub.Scalar,
     ATEN.mul.Scalar, ATEN.div.Scalar, ATEN.pow.Tensor_Scalar, ATEN.pow.Tensor_Tensor, ATEN.clamp.default,
     ATEN.to.dtype, ATEN.where.self, ATEN.masked_fill.Scalar, ATEN.eq.Tensor, ATEN.eq.Scalar,
     ATEN.ne.Tensor, ATEN.ne.Scalar, ATEN.lt.Tensor, ATEN.lt.Scalar, ATEN.gt.Tensor, ATEN.gt.Scalar,
     ATEN.maximum.default, ATEN.minimum.default, ATEN.logical_not.default, ATEN.logical_and.default}
)  # fmt: skip
_BY_ROWS = frozenset({ATEN.linear.default, ATEN.layer_norm.default})
_REDUCTIONS = frozenset({ATEN.mean.dim, ATEN.sum.dim_IntList, ATEN.amax.default, ATEN.amin.default})


def flatten(graph: GraphModule) -> int:
    """Rewrite in place all operators with tensors of more than five dimensions; return how many there were.

    Raises ExportError, with the operator and its line in the model, where one cannot be written so.
    """
    flat: dict[Node, Node] = {}
    high = [node for node in graph.graph.nodes if _is_high(node) or any(map(_is_high, node.all_input_nodes))]
    for node in high:
        if node.op == "call_function" and node.target is not operator.getitem:
            _rewrite(graph, node, flat)
        elif node.op in ("placeholder", "output"):
            what = "input" if node.op == "placeholder" else "output"
            raise refused("coreml", f"an {what} of the model", _reason(node))
    if high:
        names = {_source(flat[each]): each.name for each in high if each.target in _BY_ROWS and each in flat}
        graph.graph.eliminate_dead_code()
        for layer, name in names.items():
            rename(layer, name)  # recipes refer to layers by name
        graph.recompile()
    return len(high)


def _is_high(node: Node) -> bool:
    value = node.meta.get("val")
    values = value if isinstance(value, (tuple, list)) else (value,)
    return any(isinstance(each, torch.Tensor) and each.dim() > MOST for each in values)


def _reason(node: Node) -> str:
    shapes = [_shape(each) for each in (node, *node.all_input_nodes) if _is_high(each) and _is_tensor(each)]
    dims = len(shapes[0]) if shapes else MOST + 1
    return f"it has a tensor of {dims} dimensions, Core ML has at most {MOST}; join dimensions in the model"


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape)


def _rewrite(graph: GraphModule, node: Node, flat: dict[Node, Node]) -> None:
    """Write a node by flat tensors: what is high of its result is in `flat`, the rest replaces the node."""
    emit = Emitter(graph, node)

    def row(source: Node) -> Node:
        """The values of a tensor in a row."""
        if source not in flat and source.op == "get_attr" and _is_high(source):
            flat[source] = emit.constant(graphs.constant(graph, source).detach().flatten())
        elif source not in flat:
            flat[source] = emit(ATEN.reshape.default, source, [-1])
        return flat[source]

    rule = _RULES.get(node.target)
    if rule is None:
        raise refused("coreml", node, _reason(node))
    found = rule(node, emit, row)
    if found is None:
        raise refused("coreml", node, _reason(node))
    if isinstance(found, list):
        for reader in list(node.users):
            _settle(graph, reader, found[reader.args[1]], emit, flat)  # type: ignore[index]  # a number
    else:
        _settle(graph, node, found, emit, flat)


def _settle(graph: GraphModule, node: Node, found: Node, emit: Emitter, flat: dict[Node, Node]) -> None:
    """Let `found` be the values of `node` in a row."""
    if _is_high(node):
        flat[node] = found
    else:
        take_over(graph, node, emit(ATEN.reshape.default, found, list(_shape(node))))


Row = Callable[[Node], Node]
Rule = Callable[[Node, Emitter, Row], "Node | list[Node] | None"]
"""The result of an operator in a row, or of each of its outputs; None if it cannot be written."""


def _source(node: Node) -> Node:
    source = node.args[0]
    assert isinstance(source, Node)
    return source


def _around(shape: Sequence[int], dim: int) -> tuple[int, int, int]:
    """How many values are before, in and after a dimension."""
    dim %= len(shape)
    return math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])


def _blocks(source: Node, dim: int, emit: Emitter, row: Row) -> Node:
    """The values [before, in, after] a dimension."""
    return emit(ATEN.reshape.default, row(source), list(_around(_shape(source), dim)))


def _same(node: Node, emit: Emitter, row: Row) -> Node:
    del emit
    return row(_source(node))


def _permute(node: Node, emit: Emitter, row: Row) -> Node:
    shape = _shape(_source(node))
    arguments: Any = node.args[1:]
    if node.target is ATEN.permute.default:
        order = [dim % len(shape) for dim in arguments[0]]
    else:
        order = list(range(len(shape)))
        one, other = (dim % len(shape) for dim in arguments)
        order[one], order[other] = order[other], order[one]
    return _permuted(row(_source(node)), shape, order, emit)


def _permuted(values: Node, shape: Sequence[int], order: Sequence[int], emit: Emitter) -> Node:
    """Permute values in a row: each step moves a block of dimensions in front of others."""
    now = [dim for dim in range(len(shape)) if shape[dim] != 1]
    wanted = [dim for dim in order if shape[dim] != 1]
    for place in range(len(wanted)):
        found = now.index(wanted[place])
        if found == place:
            continue
        end = found + 1
        while end < len(now) and now[end] == wanted[place + end - found]:
            end += 1
        parts = [now[:place], now[place:found], now[found:end], now[end:]]
        sizes = [math.prod(shape[dim] for dim in part) for part in parts]
        blocks = emit(ATEN.permute.default, emit(ATEN.reshape.default, values, sizes), [0, 2, 1, 3])
        values = emit(ATEN.reshape.default, blocks, [-1])
        now = [*parts[0], *parts[2], *parts[1], *parts[3]]
    return values


def _select(node: Node, emit: Emitter, row: Row) -> Node:
    dim: Any = node.args[1]
    blocks = _blocks(_source(node), dim, emit, row)
    return emit(ATEN.reshape.default, emit(ATEN.select.int, blocks, 1, node.args[2]), [-1])


def _unbind(node: Node, emit: Emitter, row: Row) -> list[Node]:
    blocks = _blocks(_source(node), argument(node, 1, "dim", 0), emit, row)
    parts = [emit(ATEN.select.int, blocks, 1, number) for number in range(_shape(blocks)[1])]
    return [emit(ATEN.reshape.default, part, [-1]) for part in parts]


def _parts(node: Node, emit: Emitter, row: Row) -> list[Node]:
    """Of `split` and `chunk`, whose sizes are those of their results."""
    dim = argument(node, 2, "dim", 0)
    blocks = _blocks(_source(node), dim, emit, row)
    found, begin = [], 0
    for value in node.meta["val"]:
        length = int(value.shape[dim])
        part = emit(ATEN.slice.Tensor, blocks, 1, begin, begin + length)
        found.append(emit(ATEN.reshape.default, part, [-1]))
        begin += length
    return found


def _slice(node: Node, emit: Emitter, row: Row) -> Node:
    dim = argument(node, 1, "dim", 0)
    blocks = _blocks(_source(node), dim, emit, row)
    rest = node.args[2:]
    return emit(ATEN.reshape.default, emit(ATEN.slice.Tensor, blocks, 1, *rest), [-1])


def _expand(node: Node, emit: Emitter, row: Row) -> Node:
    return _expanded(row(_source(node)), _shape(_source(node)), _shape(node), emit)


def _expanded(values: Node, shape: Sequence[int], wanted: Sequence[int], emit: Emitter) -> Node:
    """Repeat values in a row along dimensions of one, one dimension after the other."""
    now = [1] * (len(wanted) - len(shape)) + list(shape)
    for dim, size in enumerate(wanted):
        if now[dim] == size:
            continue
        before, _, behind = _around(now, dim)
        block = emit(ATEN.reshape.default, values, [before, 1, behind])
        values = emit(ATEN.reshape.default, emit(ATEN.expand.default, block, [before, size, behind]), [-1])
        now[dim] = size
    return values


def _cat(node: Node, emit: Emitter, row: Row) -> Node:
    tensors: Any = node.args[0]
    dim = argument(node, 1, "dim", 0)
    blocks = [_blocks(each, dim, emit, row) for each in tensors]
    return emit(ATEN.reshape.default, emit(ATEN.cat.default, blocks, 1), [-1])


def _elementwise(node: Node, emit: Emitter, row: Row) -> Node:
    def argument_of(each: Any) -> Any:
        if not isinstance(each, Node) or not _shape(each):
            return each
        return _expanded(row(each), _shape(each), _shape(node), emit)

    return emit(node.target, *map(argument_of, node.args), **node.kwargs)


def _by_rows(node: Node, emit: Emitter, row: Row) -> Node | None:
    """Of layers on the last dimensions."""
    shape = _shape(_source(node))
    kept = len(node.args[1]) if node.target is ATEN.layer_norm.default else 1  # type: ignore[arg-type]  # a list
    rows = emit(ATEN.reshape.default, row(_source(node)), [-1, *shape[len(shape) - kept :]])
    return emit(ATEN.reshape.default, emit(node.target, rows, *node.args[1:], **node.kwargs), [-1])


def _reduce(node: Node, emit: Emitter, row: Row) -> Node:
    """With the dimensions that go behind those that stay."""
    shape = _shape(_source(node))
    dims: Any = argument(node, 1, "dim", list(range(len(shape))))
    gone = sorted(dim % len(shape) for dim in (dims if isinstance(dims, (list, tuple)) else [dims]))
    stay = [dim for dim in range(len(shape)) if dim not in gone]
    values = _permuted(row(_source(node)), shape, [*stay, *gone], emit)
    sizes = [math.prod(shape[dim] for dim in part) for part in (stay, gone)]
    return emit(node.target, emit(ATEN.reshape.default, values, sizes), [1])


def _softmax(node: Node, emit: Emitter, row: Row) -> Node:
    dim: Any = node.args[1]
    blocks = _blocks(_source(node), dim, emit, row)
    return emit(ATEN.reshape.default, emit(ATEN.softmax.int, blocks, 1), [-1])


def _matmul(node: Node, emit: Emitter, row: Row) -> Node | None:
    """Of two stacks of matrices."""
    factors: Any = node.args
    if min(len(_shape(each)) for each in factors) < 2:
        return None
    outer = _shape(node)[:-2]
    stacks = []
    for each in factors:
        matrix = _shape(each)[-2:]
        values = _expanded(row(each), _shape(each), [*outer, *matrix], emit)
        stacks.append(emit(ATEN.reshape.default, values, [-1, *matrix]))
    return emit(ATEN.reshape.default, emit(ATEN.matmul.default, *stacks), [-1])


_RULES: dict[Any, Rule] = {
    **dict.fromkeys(_RESHAPES, _same),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_BY_ROWS, _by_rows),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    ATEN.permute.default: _permute,
    ATEN.transpose.int: _permute,
    ATEN.select.int: _select,
    ATEN.unbind.int: _unbind,
    ATEN.split.Tensor: _parts,
    ATEN.split.sizes: _parts,
    ATEN.split_with_sizes.default: _parts,
    ATEN.chunk.default: _parts,
    ATEN.slice.Tensor: _slice,
    ATEN.expand.default: _expand,
    ATEN.cat.default: _cat,
    ATEN.softmax.int: _softmax,
    ATEN.matmul.default: _matmul,
}
