"""Regions of a graph that torch.export keeps as sub-graphs, inlined: gradients on or off, autocast.

Both only matter to training and to speed: graphs run without gradients, and in float32.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch.fx import GraphModule, Node

_PLACE_OF_GRAPH: dict[Any, int] = {
    torch.ops.higher_order.wrap_with_set_grad_enabled: 1,
    torch.ops.higher_order.wrap_with_autocast: 4,
}
"""The place of the sub-graph among an operator's arguments; the inputs of the sub-graph follow it."""


def inline_regions(module: GraphModule) -> int:
    """Put the nodes of each region in its place, also of regions in regions; return how many there were."""
    count = 0
    while regions := [node for node in module.graph.nodes if node.target in _PLACE_OF_GRAPH]:
        for node in regions:
            _inline(module, node)
        count += len(regions)
    return count


def _inline(module: GraphModule, region: Node) -> None:
    place = _PLACE_OF_GRAPH[region.target]
    source = region.args[place]
    assert isinstance(source, Node)
    inner = module.get_submodule(str(source.target))
    assert isinstance(inner, GraphModule)
    _take_attributes(module, inner)
    placeholders = inner.graph.find_nodes(op="placeholder")
    copies: dict[Node, Node] = dict(zip(placeholders, region.args[place + 1 :]))  # type: ignore[arg-type]
    with module.graph.inserting_before(region):
        results: Any = module.graph.graph_copy(inner.graph, copies)
    for user in list(region.users):  # a region returns a tuple, of which each user takes one item
        user.replace_all_uses_with(results[user.args[1]])
        module.graph.erase_node(user)
    module.graph.erase_node(region)


def _take_attributes(module: GraphModule, inner: GraphModule) -> None:
    """Give the attributes that `inner` reads a place in `module`, under a name that is free there."""
    for node in inner.graph.find_nodes(op="get_attr"):
        value: Any = reduce(getattr, str(node.target).split("."), inner)
        number = sum(name.startswith("inlined_") for name in module.__dict__ | module._modules)
        node.target = f"inlined_{number}"
        setattr(module, node.target, value)
