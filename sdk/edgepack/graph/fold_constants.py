"""Constant folding of values that a graph computes from its parameters alone with in-place operators.

coremltools converts few in-place operators. Swin V2 clears a third of a bias with `zero_` in each layer and
each run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgepack.graph import layers as graphs


def fold_constants(graph: GraphModule) -> dict[Node, torch.Tensor]:
    """Values of nodes that depend on no input and are modified in place, and of nodes computed from those.

    In-place operators on parameters and buffers change state, so they are not folded. The result is empty
    if a node that is not folded reads a value before its last modification. The graph is not changed.
    """
    constants = _constants(graph)
    modified = {_viewed(node.args[0]) for node in constants if _is_in_place(node)}
    if not modified:
        return {}
    values: dict[Node, Any] = {}
    folded: dict[Node, torch.Tensor] = {}
    at_first_use: dict[Node, torch.Tensor] = {}
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node not in constants:
                read = folded.keys() & set(node.all_input_nodes) - at_first_use.keys()
                at_first_use |= {constant: folded[constant].clone() for constant in read}
            elif node.op == "call_function":
                args, kwargs = map_arg(
                    (node.args, node.kwargs), lambda argument: _value(graph, argument, values)
                )
                values[node] = node.target(*args, **kwargs)
                if node in modified or any(source in folded for source in node.all_input_nodes):
                    folded[node] = values[node]
    is_final = all(torch.equal(value, folded[node]) for node, value in at_first_use.items())
    return folded if is_final else {}


def _value(graph: GraphModule, node: Node, values: dict[Node, Any]) -> Any:
    return values[node] if node in values else graphs.constant(graph, node)


def _constants(graph: GraphModule) -> set[Node]:
    """Parameters and buffers, and nodes computed from constants alone."""
    parameters = {*dict(graph.named_parameters()), *dict(graph.named_buffers())}
    constants: set[Node] = set()
    for node in graph.graph.nodes:
        inputs = node.all_input_nodes
        is_computed = node.op == "call_function" and bool(inputs) and constants.issuperset(inputs)
        is_parameter = node.op == "get_attr" and node.target in parameters
        if is_parameter or (is_computed and not (_is_in_place(node) and _is_state(node.args[0]))):
            constants.add(node)
    return constants


def _is_in_place(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _is_state(node: Any) -> bool:
    """Whether a value is a parameter, a buffer, or a view of one."""
    return _viewed(node).op == "get_attr"


def _viewed(node: Any) -> Node:
    """The node whose memory a value shares: itself unless it is a view."""
    while node.op == "call_function" and _is_view(node):
        node = node.args[0]
    assert isinstance(node, Node)
    return node


def _is_view(node: Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.arguments[0].alias_info is not None
