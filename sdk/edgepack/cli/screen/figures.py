"""Figures of a model file as texts for tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgepack.report import Artifact, Figures, Measure, OutputFigures


def file_name(artifact: Artifact) -> str:
    """The file's name, without its folder."""
    return Path(artifact.file).name


def number(value: float | None, form: str) -> str:
    """A figure as the format specification `form` writes it; empty where there is none."""
    return "" if value is None else format(value, form)


def sqnr(figures: Figures | OutputFigures) -> str:
    """The SQNR in dB, or that the outputs are exactly the float model's."""
    return "exact" if figures.exact else number(figures.sqnr_db, ".1f")


def metric_title(artifacts: Iterable[Artifact]) -> str:
    """The title of the column of agreement: the metric's own where all outputs have the same."""
    return f"{_common((each.metric.title for each in _outputs(artifacts) if each.metric), 'agree')} %"


def task_title(artifacts: Iterable[Artifact]) -> str:
    """The title of the column of accuracy."""
    found = (each.task for each in _outputs(artifacts) if each.accuracy is not None)
    task = _common((word.replace("accuracy", "acc") for word in found), "acc")
    return "R2 lab %" if task == "R2" else f"{task} %"


def _outputs(artifacts: Iterable[Artifact]) -> Iterable[OutputFigures]:
    return (output for artifact in artifacts for output in artifact.figures.by_output)


def _common(words: Iterable[str], otherwise: str) -> str:
    found = set(words)
    return found.pop() if len(found) == 1 else otherwise


def measure(found: Measure) -> str:
    """A metric in words, such as `R2 99.2 %`."""
    if found.value is None:
        return f"{found.name}: not measured"
    value = f"{found.value:.1f}" if found.unit == "%" else f"{found.value:.4f}"
    return f"{found.name} {value} {found.unit}".rstrip()
