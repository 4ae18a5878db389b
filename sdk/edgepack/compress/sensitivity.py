"""Sensitivity: what quantizing one layer alone costs at the output, and what it saves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a layer costs in float."""

    values: int
    """Of its weight."""
    multiply_adds: int
    """Of one sample."""


@dataclass(frozen=True)
class Damage:
    """One layer in int8, all others in float, by simulation on calibration samples."""

    path: str
    sqnr_db: float
    """Of the outputs; the lower, the worse."""
    agreement: float
    """Percent of samples with the float model's top answer."""
    bytes_saved: int
    """By int8 weights instead of fp32."""
    multiply_adds: int
    """That become int8."""
    share_of_bytes: float
    """Of all layers' weights, 0..1."""
    share_of_work: float
    """Of all layers' multiply-adds, 0..1."""
