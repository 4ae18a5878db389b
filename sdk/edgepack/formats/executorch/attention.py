"""Attention in operators that XNNPACK takes.

ExecuTorch decomposes `scaled_dot_product_attention` with a mask into about ten operators a layer that run
outside of XNNPACK: the mask is made again for each layer, and each row is tested for being masked as a whole.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN

_SDPA = ATEN.scaled_dot_product_attention.default
_MASKED = float(torch.finfo(torch.float32).min)
"""What a masked score is lowered by: finite, so that no row is without a probability."""


def decompose(graph: GraphModule) -> bool:
    """Write attention as products and a softmax, in place; whether there was any.

    A boolean mask becomes one that is added, once for all layers. Attention that is causal, drops values or
    shares heads stays as it is.
    """
    masks: dict[Node, Node] = {}
    found = [node for node in graph.graph.nodes if node.target is _SDPA and _is_plain(node)]
    for node in found:
        _replace(graph, node, masks)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return bool(found)


def _is_plain(node: Node) -> bool:
    """Whether a node is attention of rank 4 in 32-bit floats with nothing but a mask and a scale."""
    dropout, is_causal = (*node.args[4:6], 0.0, False)[:2] if len(node.args) > 4 else (0.0, False)
    options = {"dropout_p": dropout, "is_causal": is_causal, "enable_gqa": False, **node.kwargs}
    values = [each.meta["val"] for each in node.args[:3]]  # type: ignore[union-attr]  # tensors
    is_float = all(each.dtype is torch.float32 and each.dim() == 4 for each in values)
    has_own_heads = values[0].shape[:2] == values[1].shape[:2] == values[2].shape[:2]
    return (
        is_float
        and has_own_heads
        and not any(options[key] for key in ("dropout_p", "is_causal", "enable_gqa"))
    )


def _replace(graph: GraphModule, node: Node, masks: dict[Node, Node]) -> None:
    query, key, value = node.args[:3]
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    given = node.kwargs.get("scale")
    width = query.meta["val"].shape[-1]  # type: ignore[union-attr]
    scale = 1 / math.sqrt(width) if given is None else given
    if isinstance(mask, Node) and mask.meta["val"].dtype is torch.bool:
        mask = masks[mask] if mask in masks else masks.setdefault(mask, _added(graph, mask))
    batch, heads, rows, _ = query.meta["val"].shape  # type: ignore[union-attr]
    columns, out = value.meta["val"].shape[-2:]  # type: ignore[union-attr]
    with graph.graph.inserting_before(node):

        def call(target: Any, *arguments: Any) -> Node:
            return _placed(node, graph.graph.call_function(target, arguments))

        # products of three dimensions: `matmul` of four copies its factors outside of XNNPACK
        flat = [call(ATEN.reshape.default, each, [batch * heads, -1, size])
                for each, size in ((query, width), (key, width), (value, out))]  # fmt: skip
        turned = call(ATEN.transpose.int, flat[1], 1, 2)
        scores = call(ATEN.bmm.default, call(ATEN.mul.Tensor, flat[0], scale), turned)
        if mask is not None:
            scores = call(
                ATEN.add.Tensor, call(ATEN.reshape.default, scores, [batch, heads, rows, columns]), mask
            )
            scores = call(ATEN.reshape.default, scores, [batch * heads, rows, columns])
        mixed = call(ATEN.bmm.default, call(ATEN.softmax.int, scores, -1), flat[2])
        shaped = call(ATEN.reshape.default, mixed, [batch, heads, rows, out])
    node.replace_all_uses_with(shaped)
    graph.graph.erase_node(node)


def _added(graph: GraphModule, mask: Node) -> Node:
    """The mask as a tensor that is added to scores."""
    with graph.graph.inserting_after(mask):
        kept = graph.graph.call_function(ATEN.to.dtype, (mask, torch.float32))
    with graph.graph.inserting_after(kept):
        left = graph.graph.call_function(ATEN.sub.Tensor, (kept, 1.0))
    with graph.graph.inserting_after(left):
        added = graph.graph.call_function(ATEN.mul.Tensor, (left, -_MASKED))
    for each in (kept, left, added):
        _placed(mask, each)
    return added


def _placed(origin: Node, made: Node) -> Node:
    """`made`, with the place in the model of the node that it stands for."""
    meta: dict[str, Any] = {key: value for key, value in origin.meta.items() if key != "val"}
    made.meta.update(meta)
    return made
