"""Size, accuracy and speed of every format and scheme for the networks of the examples."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import edgepack
from benchmarks import measure
from benchmarks.nets import Net, every
from benchmarks.tables import Table
from edgepack import target
from edgepack.report import Artifact, Report
from edgepack.silence import captured, quiet

TARGETS = ("pixel-8", "iphone-15", "jetson-orin-nano")
"""Together they have every format, with every file type and execution provider."""
_TOOLCHAINS = ("executorch.exir", "onnxscript", "onnxruntime.quantization", "coremltools.optimize.coreml")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One file of one network. Values that need a runtime which this host lacks are None."""

    net: str
    format: str
    """With the execution provider, if it is not the CPU."""
    file: str
    """The suffix of the file."""
    scheme: str
    megabytes: float
    size_ratio: float
    agreement: float | None
    accuracy_float: float | None
    accuracy: float | None
    sqnr_db: float | None
    exact: bool
    latency_ratio: float | None
    latency_spread: tuple[float, float] | None
    export_seconds: float
    verdict: str


@dataclass(frozen=True)
class Result:
    """The files of one network, and their samples."""

    net: str
    evaluated_on: str
    calibrated_on: str
    rows: tuple[Row, ...]


def run(say: Say) -> list[Result]:
    """Build every network for `TARGETS`. `say` is called with the current step.

    Raises MissingError if weights or data of a network are missing, and EdgepackError.
    """
    nets = every()
    for net in nets:
        net.check()
    os.environ.update(measure.ENVIRONMENT)
    say("import the toolchains, so that no conversion time includes that")
    _import_toolchains()
    return [_result(net, say) for net in nets]


def _import_toolchains() -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryFile() as sink, quiet(), captured(sink):
        for name in _TOOLCHAINS:
            importlib.import_module(name)


def _result(net: Net, say: Say) -> Result:
    say(f"build {net.title}")
    with tempfile.TemporaryDirectory(prefix="edgepack-benchmark-") as out, tempfile.TemporaryFile() as sink:
        with captured(sink):
            reports = edgepack.build(str(net.folder), targets=TARGETS, eval=net.evaluation, out=out)
        return Result(net.title, reports[0].evaluated_on, reports[0].calibrated_on, _rows(net, reports))


def _rows(net: Net, reports: Sequence[Report]) -> tuple[Row, ...]:
    """A row for each file. Files that targets share are listed once."""
    rows: dict[tuple[str, str, str], Row] = {}
    for report in reports:
        for each in (*report.artifacts, *(tried.artifact for tried in report.tried)):
            row = _row(net, report.target, each)
            rows.setdefault((row.format, row.file, row.scheme), row)
    order = sorted(rows, key=lambda key: (key[0], key[1]))
    return tuple(rows[key] for key in order)


def _row(net: Net, target_name: str, artifact: Artifact) -> Row:
    choice = target.load(target_name).choice(artifact.format)
    provider = choice.options.get("provider", "") if choice else ""
    figures = artifact.figures
    return Row(
        net=net.title,
        format=f"{artifact.format} {provider}".strip(),
        file=Path(artifact.file).suffix,
        scheme=artifact.scheme,
        megabytes=artifact.bytes / 1e6,
        size_ratio=artifact.size_ratio,
        agreement=figures.agreement,
        accuracy_float=figures.accuracy_float,
        accuracy=figures.accuracy,
        sqnr_db=figures.sqnr_db,
        exact=figures.exact,
        latency_ratio=figures.latency_ratio,
        latency_spread=figures.latency_spread,
        export_seconds=artifact.export_seconds,
        verdict=artifact.verdict,
    )


COLUMNS = (
    "format",
    "file",
    "scheme",
    "MB",
    "size, × float",
    "agreement, %",
    "accuracy, %",
    "SQNR, dB",
    "latency, × float",
    "conversion, s",
    "verdict",
)


def tables(results: Sequence[Result]) -> list[Table]:
    """A table for each network; the last explains the columns."""
    made = [_table(result) for result in results]
    made[-1] = _explained(made[-1])
    return made


def _table(result: Result) -> Table:
    known = [row.accuracy_float for row in result.rows if row.accuracy_float is not None]
    accuracy = f"; the float model's accuracy is {known[0]:.2f} %" if known else ""
    notes = (f"Evaluated on {result.evaluated_on}, calibrated on {result.calibrated_on}{accuracy}.",)
    rows = tuple(_cells(row) for row in result.rows)
    return Table(result.net, COLUMNS, rows, words=3, notes=notes)


def _explained(table: Table) -> Table:
    meaning = (
        "Size and latency are relative to the float file of the format; latency is measured in one runtime "
        "on this host with one thread. Agreement: samples with the top class of the float model. Conversion: "
        "one export, all its files together. –: this host has no runtime for it."
    )
    return replace(table, notes=(*table.notes, meaning))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.format,
        row.file,
        row.scheme,
        f"{row.megabytes:.3f}",
        f"{row.size_ratio:.3f}",
        _figure(row.agreement, 2),
        _figure(row.accuracy, 2),
        "exact" if row.exact else _figure(row.sqnr_db, 1),
        _figure(row.latency_ratio, 2),
        f"{row.export_seconds:.1f}",
        row.verdict,
    )


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def to_json(results: Sequence[Result]) -> str:
    """All results as one JSON document."""
    return json.dumps([asdict(result) for result in results], indent=2)
