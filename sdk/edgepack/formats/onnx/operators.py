"""What torch's exporter has no ONNX operators for, and how it is written in what it has.

The exporter decomposes by itself what torch decomposes; the table has the rest, and what ONNX Runtime or the
exporter has for some arguments only (torch 2.13, onnxscript 0.7).
"""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

from edgepack.formats import attention, equivalents
from edgepack.formats.decomposition import Decomposition, decomposed
from edgepack.graph.layers import ATEN

_TABLE: dict[Any, Decomposition] = {
    ATEN.adaptive_max_pool2d.default: equivalents.adaptive_max_pool2d,
    ATEN.cdist.default: equivalents.cdist,
    ATEN.cumprod.default: equivalents.cumprod,
    ATEN.kthvalue.default: equivalents.kthvalue,
    ATEN.median.dim: equivalents.median,
    ATEN.rrelu.default: equivalents.rrelu,
}
_MOST_STEPS = 64
"""Steps of a layer with projections, which is unrolled: ONNX's LSTM has none."""


def prepared(program: ExportedProgram) -> ExportedProgram:
    """`program` with the operators of the table replaced; itself where it has none of them.

    Raises ExportError where a recurrent layer would have to be unrolled into too many steps.
    """
    return decomposed(program, _decomposition)


def _decomposition(node: Node) -> Decomposition | None:
    if node.target is ATEN.lstm.input:
        return equivalents.projected_lstm(node, _MOST_STEPS, "onnx")
    if node.target is ATEN.scaled_dot_product_attention.default and node.meta["val"].dim() != 4:
        return attention.scaled_dot_product_attention
    return _TABLE.get(node.target)
