"""Batch normalization without running statistics, which normalizes by what it is given."""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgepack.graph.layers import ATEN
from edgepack.model.normalize.emitter import Emitter


def replace_batch_statistics(module: GraphModule) -> int:
    """Write it as instance normalization where the batch is one sample, else by means; return how many.

    Quantizers take any batch normalization behind a layer for one that can be folded into the layer.
    """
    found = [node for node in module.graph.find_nodes(op="call_function", target=ATEN.batch_norm.default)
             if node.args[3] is None]  # fmt: skip
    for node in found:
        source = node.args[0]
        assert isinstance(source, Node)
        emit = Emitter(module, node)
        one = source.meta["val"].shape[0] == 1 and source.meta["val"].dim() > 2
        node.replace_all_uses_with((_by_instance if one else _by_means)(node, source, emit))
        module.graph.erase_node(node)
    return len(found)


def _by_instance(node: Node, source: Node, emit: Emitter) -> Node:
    _, weight, bias, mean, variance, _, momentum, eps, cudnn = node.args
    return emit(ATEN.instance_norm.default, source, weight, bias, mean, variance, True, momentum, eps, cudnn)


def _by_means(node: Node, source: Node, emit: Emitter) -> Node:
    weight, bias, eps = node.args[1], node.args[2], node.args[7]
    rank = source.meta["val"].dim()
    dims, shape = [0, *range(2, rank)], [1, -1, *([1] * (rank - 2))]
    centred = emit(ATEN.sub.Tensor, source, emit(ATEN.mean.dim, source, dims, True))
    variance = emit(ATEN.mean.dim, emit(ATEN.mul.Tensor, centred, centred), dims, True)
    found = emit(ATEN.mul.Tensor, centred, emit(ATEN.rsqrt.default, emit(ATEN.add.Tensor, variance, eps)))
    if weight is not None:
        found = emit(ATEN.mul.Tensor, found, emit(ATEN.reshape.default, weight, shape))
    if bias is not None:
        found = emit(ATEN.add.Tensor, found, emit(ATEN.reshape.default, bias, shape))
    return found
