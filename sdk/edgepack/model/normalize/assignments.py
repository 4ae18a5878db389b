"""Assignments to a part of a tensor as concatenation: `x[:, :3] = y`, `x[..., ::2] = y`, `x[mask] = 0`.

torch.export captures them as `slice_scatter`, `select_scatter`, `copy` and `index_put`, for which most
formats and delegates have no operator. Places must be constant; a mask need not be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN
from edgepack.model.normalize.emitter import Emitter


def replace_assignments(module: GraphModule) -> int:
    """Replace assignments to constant places or by a mask; return how many were replaced."""
    rules = {
        ATEN.slice_scatter.default: _slice,
        ATEN.select_scatter.default: _select,
        ATEN.copy.default: _copy,
        ATEN.fill.Scalar: _fill,
        ATEN.fill.Tensor: _fill,
        ATEN.index_put.default: _masked,
    }
    count = 0
    for node in list(module.graph.nodes):
        rule = rules.get(node.target) if node.op == "call_function" else None
        found = rule(Emitter(module, node), node) if rule and _is_static(node) else None
        if found is not None:
            node.replace_all_uses_with(found)
            module.graph.erase_node(node)
            count += 1
    return count


def _is_static(node: Node) -> bool:
    """Whether the sizes of a node and of what it reads are numbers."""
    values = [each.meta.get("val") for each in (node, *node.all_input_nodes)]
    return all(
        isinstance(value, torch.Tensor) and all(isinstance(size, int) for size in value.shape)
        for value in values
    )


def _shape(node: Node) -> list[int]:
    return list(node.meta["val"].shape)


def _fitted(emit: Emitter, value: Node, shape: list[int], dtype: torch.dtype) -> Node:
    """`value` in a shape to which it can be broadcast, and in a type."""
    if value.meta["val"].dtype != dtype:
        value = emit(ATEN.to.dtype, value, dtype)
    return value if _shape(value) == shape else emit(ATEN.expand.default, value, shape)


def _slice(emit: Emitter, node: Node) -> Node | None:
    base: Any = node.args[0]
    value: Any = node.args[1]
    places: tuple[Any, ...] = node.args[2:]
    defaults: tuple[Any, ...] = (0, None, None, 1)
    dim, begin, end, step = (*places, *defaults[len(places) :])
    numbers = range(_shape(base)[dim])[slice(begin, end, step)]
    placed: Node = _placed(emit, base, value, dim, numbers) if len(numbers) else base
    return placed


def _select(emit: Emitter, node: Node) -> Node | None:
    base, value, dim, index = node.args
    assert isinstance(base, Node)
    assert isinstance(value, Node)
    if not isinstance(index, int):
        return None
    place = range(_shape(base)[dim])[index]  # type: ignore[index]
    return _placed(emit, base, emit(ATEN.unsqueeze.default, value, dim), dim, range(place, place + 1))


def _placed(emit: Emitter, base: Node, value: Node, dim: Any, numbers: range) -> Node:
    """`base` with `value` at `numbers` of one dimension."""
    shape, dtype = _shape(base), base.meta["val"].dtype
    size = shape[dim]
    value = _fitted(
        emit, value, [*shape[: dim % len(shape)], len(numbers), *shape[dim % len(shape) + 1 :]], dtype
    )
    if len(numbers) == size and numbers.step == 1:
        return value
    if numbers.step == 1 or len(numbers) == 1:
        before = emit(ATEN.slice.Tensor, base, dim, 0, numbers[0]) if numbers[0] else None
        after = emit(ATEN.slice.Tensor, base, dim, numbers[-1] + 1, size) if numbers[-1] + 1 < size else None
        parts = [part for part in (before, value, after) if part is not None]
        return emit(ATEN.cat.default, parts, dim) if len(parts) > 1 else value
    order = [size + numbers.index(place) if place in numbers else place for place in range(size)]
    both = emit(ATEN.cat.default, [base, value], dim)
    return emit(ATEN.index_select.default, both, dim, emit.constant(torch.tensor(order)))


def _copy(emit: Emitter, node: Node) -> Node | None:
    base, value = node.args[:2]
    assert isinstance(base, Node)
    return _fitted(emit, value, _shape(node), base.meta["val"].dtype) if isinstance(value, Node) else None


def _fill(emit: Emitter, node: Node) -> Node | None:
    base, value = node.args
    assert isinstance(base, Node)
    if not isinstance(value, Node):
        return emit(ATEN.full_like.default, base, value)
    return _fitted(emit, value, _shape(node), base.meta["val"].dtype)


def _masked(emit: Emitter, node: Node) -> Node | None:
    """`index_put` of one value where a mask is true."""
    base, indices, value = node.args[:3]
    assert isinstance(base, Node)
    assert isinstance(indices, (list, tuple))
    adds = node.args[3] if len(node.args) > 3 else node.kwargs.get("accumulate", False)
    mask = indices[0] if len(indices) == 1 else None
    if adds or not isinstance(mask, Node) or not isinstance(value, Node):
        return None
    if mask.meta["val"].dtype != torch.bool or value.meta["val"].numel() != 1:
        return None
    for _ in range(len(_shape(base)) - len(_shape(mask))):  # a mask covers the first dimensions
        mask = emit(ATEN.unsqueeze.default, mask, -1)
    if _shape(value):
        value = emit(ATEN.reshape.default, value, [])
    if value.meta["val"].dtype != base.meta["val"].dtype:
        value = emit(ATEN.to.dtype, value, base.meta["val"].dtype)
    return emit(ATEN.where.self, mask, value, base)
