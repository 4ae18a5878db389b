"""Figures of a model file as texts for tables."""

from __future__ import annotations

from pathlib import Path

from edgepack.report import Artifact


def file_name(artifact: Artifact) -> str:
    """The file's name, without its folder."""
    return Path(artifact.file).name


def number(value: float | None, form: str) -> str:
    """A figure as the format specification `form` writes it; empty where there is none."""
    return "" if value is None else format(value, form)


def sqnr(artifact: Artifact) -> str:
    """The SQNR in dB, or that the outputs are exactly the float model's."""
    return "exact" if artifact.figures.exact else number(artifact.figures.sqnr_db, ".1f")
