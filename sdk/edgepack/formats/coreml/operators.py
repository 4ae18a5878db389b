"""What coremltools has not of torch's operators, and how they are written in what it has.

coremltools (9.0) converts by a registry of operators, which is asked. The table adds what it converts wrongly
or for some arguments only.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
from torch.fx import GraphModule, Node

from edgepack.formats import attention, equivalents
from edgepack.formats.coreml import high_ranks
from edgepack.formats.decomposition import Decomposition, argument, decompose, of_torch, operators
from edgepack.formats.unsupported_operators import refused
from edgepack.graph.layers import ATEN

_WRITTEN_BY_TRACE = frozenset(
    {ATEN._assert_tensor_metadata.default, ATEN.alias.default, ATEN.log_softmax.int, ATEN.sym_size.int}
)
"""Operators that the tracer leaves out or writes itself."""
_ALWAYS: dict[Any, Decomposition] = {
    ATEN.rms_norm.default: equivalents.rms_norm,  # it adds eps to the mean of scaled squares
    ATEN.kthvalue.default: equivalents.kthvalue,
    ATEN.median.dim: equivalents.median,
    ATEN.bucketize.Tensor: equivalents.bucketize,
    ATEN.prod.dim_int: equivalents.prod,
    ATEN.cdist.default: equivalents.cdist,
    ATEN.rrelu.default: equivalents.rrelu,
    ATEN.bilinear.default: equivalents.bilinear,
    ATEN.log_sigmoid.default: equivalents.log_sigmoid,
    ATEN.trunc.default: equivalents.trunc,
    ATEN.new_ones.default: equivalents.new_ones,
    ATEN.unfold.default: equivalents.unfold,
    ATEN.adaptive_avg_pool3d.default: equivalents.adaptive_avg_pool3d,
    ATEN.__rshift__.Scalar: equivalents.shift_right,
    ATEN.bitwise_right_shift.Tensor_Scalar: equivalents.shift_right,
}
_MATRICES = frozenset(
    {
        ATEN.upsample_bicubic2d.vec,
        ATEN.upsample_trilinear3d.vec,
        ATEN._upsample_bilinear2d_aa.vec,  # converted as if it had no antialiasing
        ATEN._upsample_bicubic2d_aa.vec,
    }
)
_MASKS = frozenset({ATEN.bitwise_and.Scalar, ATEN.__and__.Scalar})
_MOST_STEPS = 64
"""Steps of a layer with projections, which is unrolled: Core ML's LSTM has none."""


def prepare(graph: GraphModule) -> None:
    """Replace in place the operators that coremltools has not.

    Raises ExportError, with the operator and its line in the model, where one cannot be replaced.
    """
    decompose(graph, decomposition)
    high_ranks.flatten(graph)
    for node in operators(graph):
        if not _is_known(node):
            raise refused("coreml", node, "coremltools has no such operator")


def decomposition(node: Node) -> Decomposition | None:
    """The decomposition of a node that Core ML has no operator for; None of others."""
    special = listed(node)
    if special is not None or _is_known(node):
        return special
    return of_torch(node)


def listed(node: Node) -> Decomposition | None:
    """The decomposition of a node that the table has, whatever the registry says; None of others."""
    return _special(node) or _ALWAYS.get(node.target)


def _is_known(node: Node) -> bool:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target in _WRITTEN_BY_TRACE:
        return True
    name = target._schema.name.removeprefix("aten::")
    return "::" not in name and _TORCH_OPS_REGISTRY.get_func(name) is not None


def _special(node: Node) -> Decomposition | None:
    """The decomposition for arguments that coremltools does not convert."""
    target = node.target
    if target is ATEN.pad.default:
        mode = argument(node, 2, "mode", "constant")
        deep = len(node.args[1]) > 4  # type: ignore[arg-type]  # a list
        return equivalents.pad if mode == "circular" or (deep and mode != "constant") else None
    if target in _MATRICES:
        return partial(equivalents.resize, target, node.meta["val"].shape[2:])
    if target is ATEN.scaled_dot_product_attention.default and argument(node, 99, "enable_gqa", False):
        return attention.scaled_dot_product_attention
    if target is ATEN.floor_divide.default and not node.meta["val"].is_floating_point():
        return equivalents.whole_floor_divide
    if target is ATEN.diagonal.default and argument(node, 1, "offset", 0) == 0:
        return equivalents.diagonal
    if target in _MASKS and isinstance(node.args[1], int) and node.args[1] & (node.args[1] + 1) == 0:
        return equivalents.mask_low_bits
    if target is ATEN.affine_grid_generator.default:
        return of_torch(node)
    if target is ATEN.embedding_bag.padding_idx:
        return equivalents.bag_of(node)
    if target is ATEN.lstm.input:
        return equivalents.projected_lstm(node, _MOST_STEPS, "coreml")
    return None
