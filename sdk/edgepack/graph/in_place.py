"""In-place operators (`relu_`), replaced by those that return a new tensor (`relu`)."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN


def without_in_place(graph: GraphModule) -> int:
    """Replace operators that overwrite their input by those that do not, in place; return how many.

    Operators then have the same names in every format. An operator stays if others may read its input,
    also through a view or an operator that returns its input.
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
    """The operator that returns what an in-place operator writes; None for all others."""
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
    """Whether an operator returns memory of its own, not its input's."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    schema = node.target._schema
    returns_input = "dropout" in schema.name  # its schema does not say so
    return not returns_input and all(each.alias_info is None for each in schema.returns)
