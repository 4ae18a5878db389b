"""Convolutions with `padding="same"` or `"valid"`, as convolutions with numbers.

Quantizers and delegates know the latter only. Where "same" pads one side more than the other (an even
kernel), the rest is a pad before the convolution, as torch computes it.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN

_BY_NUMBERS = {
    ATEN.conv1d.padding: ATEN.conv1d.default,
    ATEN.conv2d.padding: ATEN.conv2d.default,
    ATEN.conv3d.padding: ATEN.conv3d.default,
}


def with_numbers(graph: GraphModule) -> int:
    """Replace the paddings in words, in place; return how many. The result must be exported again."""
    found = [node for node in graph.graph.nodes if node.target in _BY_NUMBERS]
    for node in found:
        with graph.graph.inserting_before(node):
            _replace(graph, node)
    if found:
        graph.recompile()
    return len(found)


def _replace(graph: GraphModule, node: Node) -> None:
    given, weight, bias, stride, word, dilation, groups = _arguments(node)
    assert isinstance(weight, Node)
    kernel = _shape(graph, weight)[2:]
    strides, dilations = (list(each) * (len(kernel) // len(each)) for each in (stride, dilation))
    totals = [step * (size - 1) if word == "same" else 0 for step, size in zip(dilations, kernel)]
    before = [total // 2 for total in totals]
    if any(total % 2 for total in totals):
        more = [amount for total in reversed(totals) for amount in (0, total % 2)]
        given = graph.graph.call_function(ATEN.pad.default, (given, more))
        given.meta.update({key: value for key, value in node.meta.items() if key != "val"})
    arguments = (given, weight, bias, strides, before, dilations, groups)
    operator: Any = _BY_NUMBERS[node.target]  # type: ignore[index]  # it is one of them
    numbered = graph.graph.call_function(operator, arguments)
    numbered.meta.update(node.meta)
    node.replace_all_uses_with(numbered)
    graph.graph.erase_node(node)


def _arguments(node: Node) -> list[Any]:
    """The arguments of a convolution, the defaults of those that are not given."""
    defaults = [None, None, None, [1], "valid", [1], 1]
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = list(node.args)
    return [
        given[place] if place < len(given) else node.kwargs.get(name, default)
        for place, (name, default) in enumerate(zip(names, defaults))
    ]


def _shape(graph: GraphModule, weight: Node) -> list[int]:
    value = weight.meta["val"] if "val" in weight.meta else graphs.constant(graph, weight)
    return list(value.shape)
