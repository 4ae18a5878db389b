"""What a graph computes from its parameters alone by writing in place, computed once.

coremltools carries few operators that write in place. Swin V2 clears a third of a bias in each layer and
each run, with `zero_`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgepack.graph import layers as graphs


def settled(graph: GraphModule) -> dict[Node, torch.Tensor]:
    """Values of nodes that depend on no input and are written into, and of what is computed from those.

    What is written into a parameter itself is state, and left alone, and so is all where a value is read
    before the last of it is written.
    """
    fixed = _fixed(graph)
    written = {_root(node.args[0]) for node in fixed if _writes(node)}
    if not written:
        return {}
    found: dict[Node, Any] = {}
    wanted: dict[Node, torch.Tensor] = {}
    read: dict[Node, torch.Tensor] = {}
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node not in fixed:
                first = wanted.keys() & set(node.all_input_nodes) - read.keys()
                read |= {each: wanted[each].clone() for each in first}
            elif node.op == "call_function":
                args, kwargs = map_arg((node.args, node.kwargs), lambda each: _value(graph, each, found))
                found[node] = node.target(*args, **kwargs)
                if node in written or any(each in wanted for each in node.all_input_nodes):
                    wanted[node] = found[node]
    return wanted if all(torch.equal(value, wanted[node]) for node, value in read.items()) else {}


def _value(graph: GraphModule, node: Node, found: dict[Node, Any]) -> Any:
    return found[node] if node in found else graphs.constant(graph, node)


def _fixed(graph: GraphModule) -> set[Node]:
    """Parameters, and what is computed from fixed values alone."""
    named = {*dict(graph.named_parameters()), *dict(graph.named_buffers())}
    found: set[Node] = set()
    for node in graph.graph.nodes:
        given = node.all_input_nodes
        computed = node.op == "call_function" and bool(given) and all(each in found for each in given)
        parameter = node.op == "get_attr" and node.target in named
        if parameter or (computed and not (_writes(node) and _is_state(node.args[0]))):
            found.add(node)
    return found


def _writes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _is_state(node: Any) -> bool:
    """Whether a value is a parameter, or a view of one."""
    return _root(node).op == "get_attr"


def _root(node: Any) -> Node:
    """What a value is a view of."""
    while node.op == "call_function" and _is_view(node):
        node = node.args[0]
    assert isinstance(node, Node)
    return node


def _is_view(node: Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.arguments[0].alias_info is not None
