"""What a build of an architecture gave: a cell for each format, float and int8."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from edgepack.report import Artifact, Report, sentence
from edgepack.scheme import SCHEMES

FORMATS = ("executorch", "onnx", "coreml", "torchscript")
PRECISIONS: tuple[Precision, ...] = ("float", "int8")
Precision = Literal["float", "int8"]
Ended = Literal["", "traceback", "time limit", "crash"]
Outcome = Literal["pass", "fail", "refused", "error"]
"""`fail`: a file was written and a check failed. `refused`: no file, with a sentence why. `error`: the build
ended without a sentence: a traceback, a crash, or the time limit."""

_MARGIN = re.compile(r"^\s*(error|hint): ?")


@dataclass(frozen=True)
class Cell:
    """One format of one architecture, float or int8."""

    format: str
    precision: Precision
    outcome: Outcome
    scheme: str = ""
    size_ratio: float | None = None
    """Bytes over those of the format's float file."""
    metrics: str = ""
    why: str = ""


@dataclass(frozen=True)
class Result:
    """One architecture."""

    name: str
    parameters: int
    exit_code: int
    cpu_seconds: float
    memory_mb: float
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = field(default=())
    ended: Ended = ""
    """How the build ended, if it was not by its own exit."""


ADAPTER = TypeAdapter(Result)
RESULTS = TypeAdapter(list[Result])


def cells(report: Report) -> tuple[Cell, ...]:
    """The cells of a build that wrote a report."""
    made = [*report.artifacts, *(tried.artifact for tried in report.tried)]
    return tuple(
        _cell(format_name, precision, made, report) for format_name in FORMATS for precision in PRECISIONS
    )


def without_report(exit_code: int, log: str) -> tuple[Cell, ...]:
    """The cells of a build that wrote none: its message, or the fact that there is none."""
    message = _message(log)
    outcome: Outcome = "refused" if message and exit_code in (3, 4, 5) else "error"
    why = message or f"exit code {exit_code}"
    return tuple(
        Cell(format_name, precision, outcome, why=why) for format_name in FORMATS for precision in PRECISIONS
    )


def _message(log: str) -> str:
    """The error that the command printed, in one line; empty if there is none."""
    lines = log.splitlines()
    begin = next((n for n, line in enumerate(lines) if "error" in line.lower().split(":")[0]), None)
    return (
        "" if begin is None else " ".join(_MARGIN.sub("", line).strip() for line in lines[begin : begin + 6])
    )


def _cell(name: str, precision: Precision, made: list[Artifact], report: Report) -> Cell:
    """The best file of a precision; without one, the reason."""
    files = [file for file in made if file.format == name and Path(file.file).suffix != ".ort"]
    fitting = [file for file in files if SCHEMES[file.scheme].is_float == (precision == "float")]
    if not fitting:
        return Cell(name, precision, "refused", why=_reason(name, precision, files, report))
    best = min(fitting, key=lambda file: (file.verdict == "fail", file.bytes))
    failed = "; ".join(sentence(check) for check in best.checks if check.verdict == "fail")
    outcome: Outcome = "fail" if failed else "pass"
    return Cell(name, precision, outcome, best.scheme, round(best.size_ratio, 3), _metrics(best), failed)


def _reason(name: str, precision: Precision, files: list[Artifact], report: Report) -> str:
    """Why there is no file of a precision."""
    refusals = [
        refusal.why
        for refusal in report.refusals
        if refusal.format == name and SCHEMES[refusal.scheme].is_float == (precision == "float")
    ]
    others = [refusal.why for refusal in report.refusals if refusal.format == name]
    notes = [note for file in files for note in file.notes]
    skipped = [omission.why for omission in report.skipped if omission.what.startswith(name)]
    return next(iter([*refusals, *others, *notes, *skipped]), "not tried")


def _metrics(file: Artifact) -> str:
    figures = file.figures
    if figures.exact:
        return "exact"
    found = []
    if figures.agreement is not None:
        found.append(f"{figures.agreement:.0f} %")
    if figures.sqnr_db is not None:
        found.append(f"{figures.sqnr_db:.0f} dB")
    return ", ".join(found)
