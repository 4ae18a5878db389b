"""Convolutions in 1 to 3 dimensions: x is [n, channels, *sizes]."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op
from edgepack.emulator.coreml.window import extent, flat, pads


def conv(inputs: Inputs) -> Tensor:
    """A convolution; `weight` is [out, in / groups, *kernel]."""
    return _convolved(inputs, inputs["weight"], inputs.get("bias"))


def conv_quantized(inputs: Inputs) -> Tensor:
    """A convolution with an 8-bit weight: weight × quant_scale + quant_bias.

    Raises NotImplementedError for the type `lut`: the operation has no input for the table.
    """
    if inputs.text("quantization_type") != "linear":
        raise NotImplementedError("conv_quantized of type lut")
    levels = inputs["weight"].float()
    scale, offset = (_by_output(inputs[name], levels) for name in ("quant_scale", "quant_bias"))
    bias = inputs.get("bias")
    return _convolved(inputs, levels * scale + offset, None if bias is None else bias.float())


def conv_transpose(inputs: Inputs) -> Tensor:
    """A transposed convolution; `weight` is [in, out / groups, *kernel].

    Padding is cut from the result. Where `output_shape` is larger than what the kernel reaches, the result is
    the bias, as in TensorFlow.
    """
    x, weight, bias = inputs["x"], inputs["weight"], inputs.get("bias")
    spatial = x.dim() - 2
    strides, dilations = inputs.ints("strides"), inputs.ints("dilations")
    none = [0] * spatial
    groups = inputs.integer("groups")
    full = torch.convolution(x, weight, None, strides, none, dilations, True, none, groups)
    wanted, starts = _transposed(inputs, list(full.shape[2:]))
    cuts = [(-start, start + size - have) for start, size, have in zip(starts, wanted, full.shape[2:])]
    result = functional.pad(full, flat(cuts))
    return result if bias is None else result + bias.view(-1, *[1] * spatial)


def _convolved(inputs: Inputs, weight: Tensor, bias: Tensor | None) -> Tensor:
    x = inputs["x"]
    strides, dilations = inputs.ints("strides"), inputs.ints("dilations")
    pairs = pads(inputs, x.shape[2:], extent(weight.shape[2:], dilations), strides)
    padding = [front for front, _ in pairs]
    if any(front != behind for front, behind in pairs):
        x, padding = functional.pad(x, flat(pairs)), [0] * len(pairs)
    groups = inputs.integer("groups")
    return torch.convolution(x, weight, bias, strides, padding, dilations, False, [0] * len(pairs), groups)


def _by_output(value: Tensor, weight: Tensor) -> Tensor:
    """A scalar, or a vector [out] reshaped to broadcast with `weight`."""
    return value.reshape(-1, *[1] * (weight.dim() - 1)) if value.numel() > 1 else value.reshape(())


def _transposed(inputs: Inputs, full: list[int]) -> tuple[list[int], list[int]]:
    """The output sizes of a transposed convolution, and their offsets in the full result of sizes `full`."""
    kind, pad = inputs.text("pad_type").lower(), inputs.ints("pad")
    if kind == "custom":
        starts = pad[::2]
        sizes = [size - front - behind for size, front, behind in zip(full, starts, pad[1::2])]
    else:
        starts, sizes = [0] * len(full), full
    if kind == "same":
        sizes = [size * stride for size, stride in zip(inputs["x"].shape[2:], inputs.ints("strides"))]
    if inputs.has("output_shape"):
        sizes = inputs.ints("output_shape")[2:]
    if kind == "same":
        starts = [max(have - size, 0) // 2 for have, size in zip(full, sizes)]
    return sizes, starts


OPS: Mapping[str, Op] = {"conv": conv, "conv_quantized": conv_quantized, "conv_transpose": conv_transpose}
