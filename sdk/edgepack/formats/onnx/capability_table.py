"""What ONNX files can carry, by execution provider."""

from __future__ import annotations

from edgepack.formats.capability import Capabilities, Row, gaps
from edgepack.formats.onnx.options import Provider

_UNQUANTIZED = gaps("ONNX files keep recurrent layers in float", "recurrent")
_NO_GROUPED = gaps("the quantizer takes no grouped transposed convolutions", "grouped conv_transpose")
"""onnxruntime 1.32: it fails on the bias of a layer with fewer scales than outputs."""
_NO_TRANSPOSED = gaps(
    "ONNX Runtime's dynamic quantization takes no transposed convolutions",
    "conv_transpose1d",
    "conv_transpose2d",
)
_SLOW_CONVOLUTIONS = gaps(
    "ONNX Runtime takes longer for convolutions in dynamic int8 than in float",
    "conv1d",
    "conv2d",
    "depthwise conv2d",
    "conv3d",
)
CPU = Capabilities(
    "onnx",
    (
        Row("fp32"),
        Row("fp16", whole_file="half precision is for a whole file"),
        Row("w8a8", _UNQUANTIZED | _NO_GROUPED),
        Row("w8a16", _UNQUANTIZED | _NO_GROUPED),
        Row("w8", _UNQUANTIZED, min_values=1024),
        Row("w8d", _UNQUANTIZED | _NO_GROUPED | _NO_TRANSPOSED, slower=_SLOW_CONVOLUTIONS),
    ),
)
"""Weights of fewer than 1024 values cost more in operators than `w8` saves."""
TENSORRT = CPU.without(
    {
        "w8a16": "TensorRT computes in 8-bit integers, not in 16-bit ones",
        "w8d": "TensorRT reads no operator that quantizes activations at run time",
    }
)
"""By the operator list of onnx-tensorrt for TensorRT 7.2 (operators.md), which has no ConvInteger and no
DynamicQuantizeLinear. Newer lists were not looked up."""

BY_PROVIDER: dict[Provider, Capabilities] = {"cpu": CPU, "tensorrt": TENSORRT}
