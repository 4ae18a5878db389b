"""What ExecuTorch has no kernels for, and how it is written in what it has.

ExecuTorch decomposes by torch's table of core operators; this table has what is left without a kernel, and
what a kernel refuses when it runs (portable kernels, 1.5.1: convolutions of three dimensions, error 0x12).
"""

from __future__ import annotations

from typing import Any

from executorch.exir import ExecutorchProgramManager
from executorch.runtime import Runtime
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgepack.formats import equivalents
from edgepack.formats.decomposition import Decomposition, argument, decompose, of_torch
from edgepack.formats.unsupported_operators import named, refused
from edgepack.graph.layers import ATEN

_TABLE: dict[Any, Decomposition] = {
    ATEN.conv3d.default: equivalents.conv3d,
    ATEN.conv_transpose3d.input: equivalents.conv_transpose3d,
    ATEN.adaptive_max_pool2d.default: equivalents.adaptive_max_pool2d,
    ATEN.adaptive_avg_pool3d.default: equivalents.adaptive_avg_pool3d,
    ATEN.sort.default: equivalents.sort,
    ATEN.sort.stable: equivalents.sort_stable,
    ATEN.argsort.default: equivalents.argsort,
    ATEN.kthvalue.default: equivalents.kthvalue,
    ATEN.median.dim: equivalents.median,
    ATEN.bucketize.Tensor: equivalents.bucketize,
    ATEN.cumprod.default: equivalents.cumprod,
    ATEN.rrelu.default: equivalents.rrelu,
    ATEN.bilinear.default: equivalents.bilinear,
    ATEN.__rshift__.Scalar: equivalents.shift_right,
    ATEN.bitwise_right_shift.Tensor_Scalar: equivalents.shift_right,
}

_BY_SORTING = frozenset(
    {ATEN.quantile.default, ATEN.quantile.scalar, ATEN.nanquantile.default, ATEN.nanquantile.scalar,
     ATEN.msort.default, ATEN.median.default, ATEN.nanmedian.default}
)  # fmt: skip
"""Operators that torch writes by a sort, for which the runtime has no kernel."""


def prepare(graph: GraphModule) -> int:
    """Replace in place the operators of the table; return how many."""
    return decompose(graph, decomposition)


def decomposition(node: Node) -> Decomposition | None:
    """The decomposition of a node that ExecuTorch has no kernel for; None of others."""
    target = node.target
    if target is ATEN.gelu.default and argument(node, 1, "approximate", "none") == "tanh":
        return equivalents.gelu_tanh  # XNNPACK's operator is the exact one for both
    if target in _BY_SORTING:
        return of_torch(node)
    if target is ATEN.sort.stable and argument(node, 99, "stable", False):
        return None
    if target is ATEN.max_pool3d.default:
        return None if argument(node, 5, "ceil_mode", False) else equivalents.max_pool3d
    if target is ATEN.avg_pool3d.default:
        return equivalents.avg_pool3d if _is_plain_mean(node) else None
    if target is ATEN.embedding_bag.padding_idx:
        return equivalents.bag_of(node)
    return _TABLE.get(target)


def _is_plain_mean(node: Node) -> bool:
    """Whether an average pool has whole windows only, and counts what is padded."""
    no_padding = not any(argument(node, 3, "padding", [0]))
    counts = no_padding or argument(node, 5, "count_include_pad", True)
    ceil_mode, divisor = argument(node, 4, "ceil_mode", False), argument(node, 6, "divisor_override", None)
    return bool(counts and not ceil_mode and divisor is None)


def check_kernels(built: ExecutorchProgramManager, edge: ExportedProgram) -> None:
    """Raise ExportError where a program calls a kernel that the runtime has not: it would not load (0x14).

    The error has the operator and its line in the model, from `edge`, the program before its memory was
    planned.
    """
    known = set(Runtime.get().operator_registry.operator_names)
    for plan in built.executorch_program.execution_plan:
        for called in plan.operators:
            name = f"{called.name}.{called.overload}" if called.overload else called.name
            if name not in known:
                kind = called.name.removesuffix("_copy")
                node = named(edge, kind) or named(edge, called.name)
                raise refused("executorch", node or name, "its runtime has no kernel for it")
