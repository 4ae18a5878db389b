"""What TorchScript files can carry: layers that qnnpack has kernels for."""

from __future__ import annotations

from edgepack.formats.capability import OPERATOR_KINDS, Capabilities, Row, gaps

_NO_CONVOLUTION = "qnnpack has no such convolution"
QNNPACK = Capabilities(
    "torchscript",
    (
        Row("fp32"),
        Row(
            "w8a8",
            gaps(_NO_CONVOLUTION, "conv3d", "conv_transpose1d", "conv_transpose2d", "grouped conv_transpose")
            | gaps("it has no static int8 kernel", "embedding", "recurrent"),
        ),
        Row(
            "w8d",
            gaps(
                "activations are quantized at run time in linear layers only",
                *(kind for kind in OPERATOR_KINDS if kind != "linear"),
            ),
        ),
    ),
)
