"""Convolutions of 1 to 3 dimensions: x of [n, channels, *sizes]."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op
from edgepack.emulator.coreml.window import extent, flat, pads


def conv(given: Given) -> Tensor:
    """A convolution with a weight of [out, in / groups, *kernel]."""
    return _convolved(given, given["weight"], given.get("bias"))


def conv_quantized(given: Given) -> Tensor:
    """A convolution with a weight of 8-bit levels: weight × quant_scale + quant_bias.

    Raises NotImplementedError for `lut`, whose table the op does not carry.
    """
    if given.text("quantization_type") != "linear":
        raise NotImplementedError("conv_quantized of type lut")
    levels = given["weight"].float()
    scale, offset = (_by_output(given[name], levels) for name in ("quant_scale", "quant_bias"))
    bias = given.get("bias")
    return _convolved(given, levels * scale + offset, None if bias is None else bias.float())


def conv_transpose(given: Given) -> Tensor:
    """A transposed convolution with a weight of [in, out / groups, *kernel].

    What is padded is cut away; where `output_shape` asks for more than the kernel reaches, the bias alone
    stands there, as in TensorFlow.
    """
    x, weight, bias = given["x"], given["weight"], given.get("bias")
    spatial = x.dim() - 2
    strides, dilations = given.ints("strides"), given.ints("dilations")
    none = [0] * spatial
    groups = given.integer("groups")
    full = torch.convolution(x, weight, None, strides, none, dilations, True, none, groups)
    wanted, starts = _transposed(given, list(full.shape[2:]))
    cuts = [(-start, start + size - have) for start, size, have in zip(starts, wanted, full.shape[2:])]
    result = functional.pad(full, flat(cuts))
    return result if bias is None else result + bias.view(-1, *[1] * spatial)


def _convolved(given: Given, weight: Tensor, bias: Tensor | None) -> Tensor:
    x = given["x"]
    strides, dilations = given.ints("strides"), given.ints("dilations")
    pairs = pads(given, x.shape[2:], extent(weight.shape[2:], dilations), strides)
    padding = [front for front, _ in pairs]
    if any(front != behind for front, behind in pairs):
        x, padding = functional.pad(x, flat(pairs)), [0] * len(pairs)
    groups = given.integer("groups")
    return torch.convolution(x, weight, bias, strides, padding, dilations, False, [0] * len(pairs), groups)


def _by_output(value: Tensor, weight: Tensor) -> Tensor:
    """A number for all, or one for each output channel, against the weight."""
    return value.reshape(-1, *[1] * (weight.dim() - 1)) if value.numel() > 1 else value.reshape(())


def _transposed(given: Given, full: list[int]) -> tuple[list[int], list[int]]:
    """The sizes that a transposed convolution gives, and where they begin in all that it reaches."""
    kind, pad = given.text("pad_type").lower(), given.ints("pad")
    if kind == "custom":
        starts = pad[::2]
        sizes = [size - front - behind for size, front, behind in zip(full, starts, pad[1::2])]
    else:
        starts, sizes = [0] * len(full), full
    if kind == "same":
        sizes = [size * stride for size, stride in zip(given["x"].shape[2:], given.ints("strides"))]
    if given.has("output_shape"):
        sizes = given.ints("output_shape")[2:]
    if kind == "same":
        starts = [max(have - size, 0) // 2 for have, size in zip(full, sizes)]
    return sizes, starts


OPS: Mapping[str, Op] = {"conv": conv, "conv_quantized": conv_quantized, "conv_transpose": conv_transpose}
