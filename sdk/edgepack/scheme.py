"""Schemes: how the weights and activations of a layer are stored and computed, one row each.

A scheme is known everywhere by its short name: `w` weights and their bits, `a` static activations and
their bits, `d` activations quantized at run time, `p` palette. To add one, add a row to `_TABLE` here and
a row to the capability table (`formats/capability.py`) of each format that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator

Storage = Literal["float", "integer", "palette"]
Granularity = Literal["tensor", "channel", "block"]
Activations = Literal["float", "static", "dynamic"]


@dataclass(frozen=True)
class Scheme:
    """How a layer's weights are stored, and how its activations are computed."""

    name: str
    about: str
    weight_bits: int
    weights: Storage = "float"
    """`palette`: each weight is an index into a table of `2 ** weight_bits` values."""
    granularity: Granularity = "tensor"
    """What shares one scale: a tensor, an output channel, or a block of values in a channel."""
    activations: Activations = "float"
    """`static`: quantized by ranges that calibration measured; `dynamic`: by ranges that the runtime
    measures at each inference."""
    activation_bits: int = 32
    sparse: bool = False
    """Zeros take no space in the file, so that pruned weights make it smaller."""

    @property
    def is_float(self) -> bool:
        """Weights and activations are both floating point, and no weight is pruned."""
        return self.weights == "float" and self.activations == "float" and not self.sparse

    @property
    def has_static_activations(self) -> bool:
        """Activation ranges are measured on calibration samples, which must be given."""
        return self.activations == "static"

    @property
    def has_dynamic_activations(self) -> bool:
        """Activations are quantized at run time."""
        return self.activations == "dynamic"

    @property
    def is_weight_only(self) -> bool:
        """Weights are quantized and the arithmetic is floating point."""
        return not self.is_float and self.activations == "float"

    @property
    def has_integer_channels(self) -> bool:
        """Weights are integers with one scale for each output channel."""
        return self.weights == "integer" and self.granularity == "channel"

    @property
    def has_int8_arithmetic(self) -> bool:
        """Weights and activations are both 8-bit integers, so that layers compute in int8."""
        return self.weights == "integer" and self.weight_bits == self.activation_bits == 8

    @property
    def is_half(self) -> bool:
        """Weights and activations are 16-bit floats."""
        return self.is_float and self.weight_bits == 16

    @property
    def is_palette(self) -> bool:
        """Weights are indices into a table of values."""
        return self.weights == "palette"

    @property
    def has_few_values(self) -> bool:
        """Weights take so few values that quantization-aware training pays for its time."""
        return self.weights != "float" and self.weight_bits <= 4 and not self.sparse


def _float(name: str, bits: int) -> Scheme:
    return Scheme(name, f"{bits}-bit float", bits, activation_bits=bits)


_TABLE = (
    _float("fp32", 32),
    _float("fp16", 16),
    Scheme(
        "w8a8",
        "int8 weights and activations, ranges calibrated on samples",
        weight_bits=8,
        weights="integer",
        granularity="channel",
        activations="static",
        activation_bits=8,
    ),
    Scheme(
        "w8a16",
        "int8 weights, int16 activations, ranges calibrated on samples",
        weight_bits=8,
        weights="integer",
        granularity="channel",
        activations="static",
        activation_bits=16,
    ),
    Scheme("w8", "int8 weights, float activations", 8, "integer", "channel"),
    Scheme(
        "w8d",
        "int8 weights, activations quantized to int8 at run time",
        weight_bits=8,
        weights="integer",
        granularity="channel",
        activations="dynamic",
        activation_bits=8,
    ),
    Scheme(
        "w4",
        "4-bit weights in blocks, float activations",
        weight_bits=4,
        weights="integer",
        granularity="block",
    ),
    Scheme(
        "w4d",
        "4-bit weights in blocks, activations quantized to int8 at run time",
        weight_bits=4,
        weights="integer",
        granularity="block",
        activations="dynamic",
        activation_bits=8,
    ),
    Scheme("p8", "8-bit palette: 256 values a weight tensor, float arithmetic", 8, "palette"),
    Scheme("p6", "6-bit palette: 64 values a weight tensor, float arithmetic", 6, "palette"),
    Scheme(
        "p4", "4-bit palette: 16 values a weight tensor or group of channels, float arithmetic", 4, "palette"
    ),
    Scheme("sparse", "pruned weights stored without their zeros, float arithmetic", 32, sparse=True),
    Scheme(
        "sparse+p6",
        "pruned weights stored without their zeros, the rest in a 6-bit palette",
        weight_bits=6,
        weights="palette",
        sparse=True,
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _TABLE})
"""Every scheme by its short name, in the order in which they are listed."""

INT8 = SCHEMES["w8a8"]
"""Full integer quantization in 8 bits, the default of static post-training quantization."""


def _known(name: str) -> str:
    if name not in SCHEMES:
        raise ValueError(f"there is no scheme '{name}': it is one of {', '.join(SCHEMES)}")
    return name


SchemeName = Annotated[str, AfterValidator(_known)]
"""A key of `SCHEMES`; pydantic refuses any other text."""
