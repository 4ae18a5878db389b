"""Operators that change nothing in inference, removed.

Dropout that is off, aliases, copies, checks, casts to the type that a tensor has, and expansion to the shape
that it has. Memory formats go with them: every tensor of a normalized graph is contiguous.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN

_SAME_IF_TYPE_AND_SHAPE = frozenset(
    {ATEN.alias.default, ATEN.clone.default, ATEN.contiguous.default, ATEN.detach.default,
     ATEN.detach_.default, ATEN.lift_fresh_copy.default, ATEN.requires_grad_.default, ATEN.to.dtype,
     ATEN.to.dtype_layout, ATEN.to.device, ATEN.to.other, ATEN._to_copy.default, ATEN.type_as.default,
     ATEN.expand.default, ATEN.expand_as.default}
)  # fmt: skip
"""Operators that return their input's values if their output has its type and shape."""
_DROPOUT = frozenset(
    {ATEN.dropout.default, ATEN.dropout_.default, ATEN.alpha_dropout.default, ATEN.feature_dropout.default,
     ATEN.feature_alpha_dropout.default}
)  # fmt: skip
_CHECKS = frozenset(
    {ATEN._assert_tensor_metadata.default, ATEN._assert_async.msg, ATEN._assert_async.default}
)


_BY_LAYOUT = {
    ATEN.view.default: ATEN.reshape.default,
    ATEN._unsafe_view.default: ATEN.reshape.default,
    ATEN.view_as.default: ATEN.reshape_as.default,
}
"""Views, which need a certain layout in memory, and what gives the same values from any layout."""


def remove_dropout(module: GraphModule) -> int:
    """Remove dropout that is off; return how many there were. It returns its input itself, not a copy."""
    found = [node for node in module.graph.nodes if node.target in _DROPOUT and node.args[2] is False]
    for node in found:
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    return len(found)


def remove_identities(module: GraphModule) -> int:
    """Remove operators that change nothing; return how many there were. Nothing may write in place.

    An operator stays where the model returns it: an output is never an input or a constant itself. One that
    changes the layout in memory stays where an operator reads its input by strides.
    """
    count, layouts = 0, False
    by_strides = bool(module.graph.find_nodes(op="call_function", target=ATEN.as_strided.default))
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in _CHECKS:
            module.graph.erase_node(node)
        elif _is_identity(node) and not _is_returned_input(node):
            if by_strides and _changes_layout(node):
                continue
            layouts |= _changes_layout(node)
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        else:
            continue
        count += 1
    if layouts:
        _allow_any_layout(module)
    return count


def without_checks(program: ExportedProgram) -> ExportedProgram:
    """`program` without checks of types and values, which torch.export adds beside each cast; in place."""
    for node in list(program.graph.nodes):
        if node.target in _CHECKS:
            program.graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _is_identity(node: Node) -> bool:
    """Whether the node returns the values of its first input, in the same type and shape."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node):
        return False
    if node.target not in _SAME_IF_TYPE_AND_SHAPE:
        return False
    before, after = source.meta.get("val"), node.meta.get("val")
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        return False
    return before.dtype == after.dtype and _shape(before) == _shape(after)


def _is_returned_input(node: Node) -> bool:
    source: Any = node.args[0]
    return source.op != "call_function" and any(user.op == "output" for user in node.users)


def _shape(value: torch.Tensor) -> list[str]:
    """A shape that can be compared without a guard on its symbols."""
    return [str(size) for size in value.shape]


def _changes_layout(node: Node) -> bool:
    source: Any = node.args[0]
    before, after = source.meta.get("val"), node.meta.get("val")
    return before is None or after is None or str(before.stride()) != str(after.stride())


def _allow_any_layout(module: GraphModule) -> None:
    for node in module.graph.nodes:
        node.target = _BY_LAYOUT.get(node.target, node.target)
