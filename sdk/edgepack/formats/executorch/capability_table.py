"""What ExecuTorch programs can carry, by delegate."""

from __future__ import annotations

from edgepack.formats.capability import OPERATOR_KINDS, Capabilities, Row, gaps
from edgepack.formats.coreml.capability_table import MIN_VALUES

_NO_WEIGHT_ONLY = "XNNPACK has no kernels of integer weights and float activations; {} quantizes those, too"
_UNQUANTIZED = gaps("XNNPACK has no kernels for recurrent layers in integers", "recurrent")
_NO_INT8 = (
    _UNQUANTIZED
    | gaps("there are no int8 convolutions in three dimensions", "conv3d")
    | gaps("there are no grouped transposed convolutions in int8", "grouped conv_transpose")
)
XNNPACK = Capabilities(
    "executorch",
    (
        Row("fp32"),
        Row("fp16", whole_file="a program is in fp16 as a whole"),
        Row("w8a8", _NO_INT8),
        Row(
            "w8d",
            _NO_INT8
            | gaps("int8 is dynamic for convolutions in two dimensions only", "conv1d", "conv_transpose1d")
            | gaps("there are no depthwise convolutions in dynamic int8", "depthwise conv2d"),
        ),
        Row(
            "w4d",
            gaps(
                "4-bit weights are for linear layers", *(kind for kind in OPERATOR_KINDS if kind != "linear")
            ),
        ),
        Row("w8", refusal=_NO_WEIGHT_ONLY.format("w8d")),
        Row("w4", refusal=_NO_WEIGHT_ONLY.format("w4d")),
    ),
    dynamic_rows=True,
)
"""XNNPACK's kernels, as ExecuTorch's partitioner (`partition/config`, 1.5.1) gives it operators."""
CORE_ML = Capabilities(
    "its Core ML part",
    (Row("fp32"), Row("fp16"), Row("w8", min_values=MIN_VALUES)),
    mixed="the Core ML part of a .pte has one scheme for all layers",
)
"""What is written for Core ML: names of the model's layers do not reach it, so all layers are alike."""
ANY = Capabilities("executorch", (*(row for row in XNNPACK.rows if not row.refusal), *CORE_ML.rows[2:]))
"""Of one delegate or the other."""
