"""Compare edgepack with the compression of the libraries themselves, at their defaults.

Every file is written by a new process (`benchmarks.scripts`) from the same weights and calibration samples,
with one thread. All are evaluated like those of edgepack: in the runtime of the format, on the same samples,
compared with the float torch model and the float file of the library. Compressed weights of Core ML are
evaluated in torch (`benchmarks.dense`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks import comparison, measure, samples
from benchmarks.measure import FailedError, Usage
from benchmarks.nets import Net
from benchmarks.samples import Case
from benchmarks.tables import Table
from edgepack import formats, report
from edgepack.contract.outputs import judge
from edgepack.emulator.job import Death, Job, read_samples
from edgepack.evaluate import checks, host
from edgepack.evaluate.host import Run
from edgepack.evaluate.model_file import Reference
from edgepack.report import Artifact, Figures
from edgepack.scheme import SCHEMES

_JUDGING_SECONDS = 900.0
"""Time limit for the evaluation of a file."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Peer:
    """A file that a library writes."""

    name: str
    """Name of its script in `benchmarks.scripts`."""
    title: str
    format: str
    scheme: str
    float_name: str = ""
    """The float file of the library, the baseline for size and time; empty if this is one."""
    note: str = ""
    package: str = ""
    """Package that it needs besides the toolchain of the format."""

    def missing(self) -> str:
        """What is not installed, with the command that installs it; empty if nothing is missing."""
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"{self.package} not installed; pip install 'edgepack[bench]'"
        return formats.load(self.format).availability().export


_EXPERIMENTAL = "experimental upstream"
_UINT8 = "uint8 activations, as its documentation advises for x86"
_DENSE = "evaluated in torch with the weights of the file"

PEERS = (
    Peer("executorch", "executorch", "executorch", "fp32"),
    Peer("executorch-pt2e", "executorch PT2E, XNNPACKQuantizer", "executorch", "w8a8", "executorch"),
    Peer(
        "executorch-recipe",
        "executorch.export recipe",
        "executorch",
        "w8a8",
        "executorch",
        _EXPERIMENTAL,
    ),
    Peer(
        "nncf-pt2e",
        "nncf quantize_pt2e, XNNPACKQuantizer",
        "executorch",
        "w8a8",
        "executorch",
        _EXPERIMENTAL,
        package="nncf",
    ),
    Peer("onnx", "torch.onnx", "onnx", "fp32"),
    Peer("onnx-tensor-minmax", "onnxruntime per tensor, MinMax", "onnx", "w8a8", "onnx", _UINT8),
    Peer("onnx-tensor-percentile", "onnxruntime per tensor, Percentile", "onnx", "w8a8", "onnx", _UINT8),
    Peer("onnx-channel-minmax", "onnxruntime per channel, MinMax", "onnx", "w8a8", "onnx", _UINT8),
    Peer("onnx-channel-percentile", "onnxruntime per channel, Percentile", "onnx", "w8a8", "onnx", _UINT8),
    Peer("nncf-onnx", "nncf quantize", "onnx", "w8a8", "onnx", package="nncf"),
    Peer("coreml", "coremltools", "coreml", "fp16", note=_DENSE),
    Peer("coreml-w8", "coremltools linear", "coreml", "w8", "coreml", _DENSE),
    Peer("coreml-p8", "coremltools palette", "coreml", "p8", "coreml", _DENSE),
    Peer("coreml-p6", "coremltools palette", "coreml", "p6", "coreml", _DENSE),
    Peer("coreml-p4", "coremltools palette", "coreml", "p4", "coreml", _DENSE),
    Peer("torchscript", "torch.jit", "torchscript", "fp32"),
    Peer("torchscript-fx", "FX graph mode, qnnpack", "torchscript", "w8a8", "torchscript"),
)
"""The float file of a library comes before those that are compared with it."""


@dataclass(frozen=True)
class Row:
    """One file of one network. Missing values are None, and `note` is the reason."""

    title: str
    format: str
    scheme: str
    megabytes: float | None = None
    size_ratio: float | None = None
    figures: Figures = field(default_factory=Figures)
    usage: Usage | None = None
    """Resources of the process that wrote the file; for edgepack, of the whole build."""
    note: str = ""


@dataclass(frozen=True)
class Result:
    """The files of one network, and their samples."""

    net: str
    evaluated_on: str
    calibrated_on: str
    rows: tuple[Row, ...]


def run(nets: Sequence[Net], say: Say) -> list[Result]:
    """Measure all peers, then edgepack, for each of `nets`. `say` is called with the current step.

    A peer that fails is a row with the reason. Raises MissingError if weights or images are missing,
    FailedError if the float model cannot be run.
    """
    for net in nets:
        net.check()
    os.environ.update(measure.ENVIRONMENT)
    return [_result(net, say) for net in nets]


def _result(net: Net, say: Say) -> Result:
    with tempfile.TemporaryDirectory(prefix="edgepack-benchmark-") as name:
        folder = Path(name)
        say(f"{net.title}: samples and float model")
        command = [sys.executable, "-m", "benchmarks.samples", str(net.folder), name]
        measure.run(command, folder / "samples.log")
        case = samples.read(folder)
        rows = []
        for peer in PEERS:
            say(f"{net.title}: {peer.title} {peer.scheme}")
            rows.append(_peer(peer, net, case, folder))
        say(f"{net.title}: edgepack build")
        rows += _edgepack(net, folder)
    return Result(net.title, case.evaluated_on, case.calibrated_on, tuple(rows))


def _file(name: str, folder: Path) -> Path:
    """The path of the file of the peer `name`."""
    ending = next(formats.load(peer.format).suffix for peer in PEERS if peer.name == name)
    return folder / f"{name}{ending}"


def _peer(peer: Peer, net: Net, case: Case, folder: Path) -> Row:
    row = Row(peer.title, peer.format, peer.scheme, note=peer.note)
    if missing := peer.missing():
        return replace(row, note=missing)
    path = _file(peer.name, folder)
    command = [sys.executable, "-m", "benchmarks.scripts", peer.name]
    try:
        usage = measure.run([*command, str(net.folder), str(case.calib), str(path)], path.with_suffix(".log"))
    except FailedError as cause:
        return replace(row, note=cause.reason)
    plain = _file(peer.float_name or peer.name, folder)
    row = replace(
        row,
        megabytes=measure.size(path) / 1e6,
        size_ratio=measure.size(path) / measure.size(plain) if plain.exists() else None,
        usage=usage,
    )
    if peer.format == "coreml":
        found = _by_torch(net, path, case)
    else:
        found = _on_host(peer.format, path, plain if peer.float_name and plain.exists() else None, case)
    return replace(row, note=found.reason) if isinstance(found, Death) else replace(row, figures=found)


def _on_host(name: str, path: Path, plain: Path | None, case: Case) -> Figures | Death:
    """Evaluate the file at `path` in the runtime of its format, with the latency relative to `plain`."""
    if reason := formats.load(name).availability().run:
        return Death(f"not run: {reason}")
    job = Job(name, str(path), str(case.evaluation), str(plain) if plain else "")
    ran = host.run(job, path.with_suffix(".run"), _JUDGING_SECONDS)
    return ran if isinstance(ran, Death) else _figures(ran, case)


def _by_torch(net: Net, path: Path, case: Case) -> Figures | Death:
    """Evaluate torch with the weights of the package at `path`."""
    outputs = path.with_suffix(".npz")
    command = [sys.executable, "-m", "benchmarks.dense", str(net.folder), str(path)]
    try:
        measure.run([*command, str(case.evaluation), str(outputs)], path.with_suffix(".log"))
    except FailedError as cause:
        return Death(cause.reason)
    ran = Run(read_samples(outputs), 0.0, None, None, None)
    return replace(_figures(ran, case), load_seconds=None)


def _figures(ran: Run, case: Case) -> Figures:
    truth = None if case.labels is None else tuple((np.asarray(label),) for label in case.labels)
    judged = judge.judged(case.contract.outputs, case.reference, truth, is_noise=False)
    return checks.figures(ran, Reference((), case.reference, case.contract, judged, truth))


def _edgepack(net: Net, folder: Path) -> list[Row]:
    """The compressed artifacts of edgepack with default flags. Files that targets share are listed once."""
    out = folder / "bundles"
    try:
        usage = comparison.build(net, out)
    except FailedError as cause:
        return [Row("edgepack build", "", "", note=cause.reason)]
    rows: dict[tuple[str, str, str], Row] = {}
    for target in comparison.TARGETS:
        found = report.from_json((out / target / "report.json").read_text(encoding="utf-8"))
        for each in found.artifacts:
            if not SCHEMES[each.scheme].is_float:
                key = (each.format, Path(each.file).suffix, each.scheme)
                rows.setdefault(key, _artifact(each, usage))
    return [rows[key] for key in sorted(rows)]


def _artifact(artifact: Artifact, usage: Usage) -> Row:
    return Row(
        title=f"edgepack {Path(artifact.file).suffix}",
        format=artifact.format,
        scheme=artifact.scheme,
        megabytes=artifact.bytes / 1e6,
        size_ratio=artifact.size_ratio,
        figures=artifact.figures,
        usage=usage,
        note=artifact.verdict,
    )


COLUMNS = (
    "peer",
    "format",
    "scheme",
    "note",
    "MB",
    "size, × float",
    "agreement, %",
    "SQNR, dB",
    "accuracy, %",
    "latency, × float",
    "seconds",
    "peak MB",
)


def tables(results: Sequence[Result]) -> list[Table]:
    """A table for each network; the last explains the columns."""
    made = [_table(result) for result in results]
    meaning = (
        "Size and latency are relative to the float file of the library; latency is measured in one runtime "
        "on this host with one thread, alternately: median and quartiles of paired ratios. "
        "Agreement: samples with the top class of the float torch model. Seconds and peak memory are "
        "those of the process that writes the file, from its start; of edgepack those of one build, which "
        "writes, runs and checks all its files. –: not available."
    )
    made[-1] = replace(made[-1], notes=(*made[-1].notes, meaning))
    return made


def _table(result: Result) -> Table:
    known = (row.figures.accuracy_float for row in result.rows)
    right = next((f"; the float model's accuracy is {each:.2f} %" for each in known if each is not None), "")
    note = f"Judged on {result.evaluated_on}, calibrated on {result.calibrated_on}{right}."
    return Table(result.net, COLUMNS, tuple(_cells(row) for row in result.rows), words=4, notes=(note,))


def _cells(row: Row) -> tuple[str, ...]:
    found = row.figures
    return (
        row.title,
        row.format,
        row.scheme,
        row.note,
        _figure(row.megabytes, 3),
        _figure(row.size_ratio, 3),
        _figure(found.agreement, 2),
        "exact" if found.exact else _figure(found.sqnr_db, 1),
        _figure(found.accuracy, 2),
        _latency(found),
        _figure(row.usage.wall if row.usage else None, 1),
        _figure(row.usage.memory_mb if row.usage else None, 0),
    )


def _latency(found: Figures) -> str:
    if found.latency_ratio is None or found.latency_spread is None:
        return "–"
    low, high = found.latency_spread
    return f"{found.latency_ratio:.2f} ({low:.2f} to {high:.2f})"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def to_json(results: Sequence[Result]) -> str:
    """All results as one JSON document."""
    return json.dumps([asdict(result) for result in results], indent=2)
