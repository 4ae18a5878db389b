"""A recipe: the precision in which a model's layers are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scheme = Literal["fp32", "fp16", "w8", "w8a8", "p6"]
"""`fp32` and `fp16` are floats; `w8` keeps weights in int8; `w8a8` weights and activations;
`p6` is a palette of 64 values a weight tensor."""

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
FLOATS: frozenset[Scheme] = frozenset({"fp32", "fp16"})
NEEDS_SAMPLES: frozenset[Scheme] = frozenset({"w8a8"})
"""Schemes whose activation ranges are measured on calibration samples."""

MEANINGS: dict[Scheme, str] = {
    "fp32": "32-bit float",
    "fp16": "16-bit float",
    "w8": "int8 weights, float arithmetic",
    "w8a8": "int8 weights and activations, ranges calibrated on samples",
    "p6": "6-bit palette: 64 values a weight tensor, float arithmetic",
}


@dataclass(frozen=True)
class Recipe:
    """What every layer that a format can quantize is kept in."""

    scheme: Scheme

    @property
    def is_float(self) -> bool:
        return self.scheme in FLOATS
