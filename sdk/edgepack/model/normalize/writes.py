"""Operators that write into their input, replaced by operators that return a new tensor."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN

_NORM = ATEN._native_batch_norm_legit_no_training.default


def writes(module: GraphModule) -> bool:
    """Whether an operator of the graph writes into an input."""
    return any(_is_write(node) for node in module.graph.nodes)


def without_writes(program: ExportedProgram) -> ExportedProgram:
    """`program` with slices and indexing that are assigned to as `slice_scatter`, `index_put` and such."""
    functional: ExportedProgram = program.run_decompositions({})
    return functional


def drop_state_writes(module: GraphModule) -> int:
    """Remove what a graph writes back into its inputs and buffers, which no file carries.

    Models whose outputs depend on it are refused before; see `edgepack.model.validation`.
    """
    found = [node for node in module.graph.nodes if _is_write(node) and _is_state(node.args[0])]
    for node in found:
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    return len(found)


def restore_batch_norm(module: GraphModule) -> int:
    """Write batch norm as the operator that formats know, not as torch's functional form of it."""
    found = module.graph.find_nodes(op="call_function", target=_NORM)
    for node in found:
        value, gain, shift, mean, variance, momentum, epsilon = node.args
        arguments = (value, gain, shift, mean, variance, False, momentum, epsilon, False)
        with module.graph.inserting_before(node):
            norm = module.graph.call_function(ATEN.batch_norm.default, arguments)
        norm.meta.update(node.meta)
        norm.meta["val"] = node.meta["val"][0]
        for user in list(node.users):
            if user.target is operator.getitem and user.args[1] == 0:
                user.replace_all_uses_with(norm)
                module.graph.erase_node(user)
    module.graph.eliminate_dead_code()
    return len(found)


def _is_write(node: Node) -> bool:
    target: Any = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _is_state(node: Any) -> bool:
    return isinstance(node, Node) and node.op in ("placeholder", "get_attr")
