"""Embeddings in int8: a table of codes with one scale for each row, made float after rows are looked up.

Plain operators do it, which ExecuTorch's portable kernels have on every platform.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from edgepack.formats import operator_kinds
from edgepack.formats.executorch import capability_table
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN
from edgepack.graph.quantization_grid import LEAST_STEP, greatest_weight_code
from edgepack.recipe import Recipe

_LAST = greatest_weight_code(8)


def quantize(graph: GraphModule, recipe: Recipe) -> None:
    """Quantize, in place, the tables whose scheme in the recipe has integer weights per channel."""
    tables: dict[str, int] = {}
    for node in list(graph.graph.nodes):
        if operator_kinds.kind_of(graph, node) != "embedding":
            continue
        scheme = recipe.at(graphs.scope(node))
        table = capability_table.XNNPACK
        if not scheme.has_integer_channels or operator_kinds.float_reason(table, graph, node, scheme.name):
            continue
        (weight,) = operator_kinds.weights(node)
        number = tables.get(str(weight.target))
        if number is None:
            number = tables[str(weight.target)] = len(tables)
            _store(graph, graphs.constant(graph, weight), number)
        _look_up(graph, node, number)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _store(graph: GraphModule, table: torch.Tensor, number: int) -> None:
    """Register the codes and the scales of a table [rows, width]."""
    scales = table.detach().abs().amax(1).clamp_min(LEAST_STEP) / _LAST
    codes = (table.detach() / scales[:, None]).round().clamp(-_LAST, _LAST).to(torch.int8)
    graph.register_buffer(f"embedding_codes_{number}", codes)
    graph.register_buffer(f"embedding_scales_{number}", scales)


def _look_up(graph: GraphModule, node: Node, number: int) -> None:
    indices = node.args[1]
    with graph.graph.inserting_before(node):
        call = graph.graph.call_function
        codes = graph.graph.get_attr(f"embedding_codes_{number}")
        scales = graph.graph.get_attr(f"embedding_scales_{number}")
        rows = call(ATEN.embedding.default, (codes, indices))
        steps = call(ATEN.to.dtype, (rows, torch.float32))
        scale = call(ATEN.index.Tensor, (scales, [indices]))
        column = call(ATEN.unsqueeze.default, (scale, -1))
        found = call(ATEN.mul.Tensor, (steps, column))
    node.replace_all_uses_with(found)
    graph.graph.erase_node(node)
