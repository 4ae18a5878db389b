"""The operators of a captured graph that have weights, by the kinds that capability tables name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from torch.fx import GraphModule, Node

from edgepack.formats.capability import Capabilities, OperatorKind
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

_BY_TARGET: dict[Any, OperatorKind] = {
    ATEN.conv1d.default: "conv1d",
    ATEN.conv2d.default: "conv2d",
    ATEN.conv3d.default: "conv3d",
    ATEN.conv_transpose1d.default: "conv_transpose1d",
    ATEN.conv_transpose2d.input: "conv_transpose2d",
    ATEN.linear.default: "linear",
    ATEN.embedding.default: "embedding",
    ATEN.lstm.input: "recurrent",
    ATEN.gru.input: "recurrent",
    ATEN.rnn_tanh.input: "recurrent",
    ATEN.rnn_relu.input: "recurrent",
}


def kind_of(graph: GraphModule, node: Node) -> OperatorKind | None:
    """The kind of an operator with a constant weight; None of any other node."""
    kind = _BY_TARGET.get(node.target) if node.op == "call_function" else None
    if kind is None or not weights(node):
        return None
    if node.target in graphs.TRANSPOSED and graphs.groups(node) > 1:
        return "grouped conv_transpose"
    if kind == "conv2d":
        _, channels, *_ = graphs.constant(graph, graphs.weight_of(node)).shape
        return "depthwise conv2d" if channels == 1 else kind
    return kind


def weights(node: Node) -> list[Node]:
    """The nodes of an operator's constant weights."""
    if graphs.is_layer(node):
        return [graphs.weight_of(node)]
    if node.target is ATEN.embedding.default:
        table = node.args[0]
        return [table] if isinstance(table, Node) and table.op == "get_attr" else []
    return [each for each in node.all_input_nodes if each.op == "get_attr" and "weight" in str(each.target)]


def float_reason(capabilities: Capabilities, graph: GraphModule, layer: Node, scheme: SchemeName) -> str:
    """Why a layer stays in float although its scheme is `scheme`; empty where it does not."""
    kind = kind_of(graph, layer)
    if kind is None:
        return ""
    values = max(graphs.constant(graph, weight).numel() for weight in weights(layer))
    return capabilities.float_reason(scheme, kind, values)


def weighted(graph: GraphModule) -> Iterator[tuple[str, Node]]:
    """Operators with weights by module path, in the order in which they run; one that runs twice, once."""
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if kind_of(graph, node):
            path = graphs.scope(node)
            if path not in seen:
                seen.add(path)
                yield path, node


def float_layers(
    graph: GraphModule, recipe: Recipe, reason: Callable[[Node, SchemeName], str]
) -> dict[str, str]:
    """Why operators stay in float in a file that is not float, by module path.

    `reason` says why one does in a scheme, though the scheme is not float; empty where it does not.
    """
    found: dict[str, str] = {}
    for path, node in weighted(graph):
        scheme = recipe.at(path)
        if scheme.is_float:
            found[path] = f"the recipe has it in {scheme.name}, as a sensitive layer or by hand"
        elif why := reason(node, scheme.name):
            found[path] = f"{scheme.name}: {why}"
    return found


def kept_float(
    graph: GraphModule, recipe: Recipe, reason: Callable[[Node, SchemeName], str]
) -> tuple[str, ...]:
    """Notes on the operators that stay in 32-bit float although the recipe has another scheme for them.

    `reason` says why one does; empty where it does not. One note a scheme and reason, the layers listed.
    """
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for path, node in weighted(graph):
        scheme = recipe.of(path)
        if why := reason(node, scheme):
            paths[f"{scheme}: {why}"].append(path)
    return tuple(f"kept in fp32 ({why}): {', '.join(names)}" for why, names in paths.items())
