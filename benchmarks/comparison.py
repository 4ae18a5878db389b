"""Compare `edgepack build` of MobileNetV2 with plain scripts that write the same files.

Both run alternately in new processes, with one thread and the same images. The plain side is four scripts,
one for each library. edgepack also runs and checks every file, which the scripts do not, so its time is split
into two parts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Usage
from benchmarks.nets import ROOT, Net, mobilenet
from benchmarks.tables import Table
from edgepack import report
from edgepack.errors import CHECK_FAILED

TARGETS = ("pixel-8", "iphone-15")
"""Together they have all four formats; files that both have are written once."""
FORMATS = ("executorch", "onnx", "coreml", "torchscript")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Side:
    """Measurements of one side in one run."""

    usage: Usage
    exports: dict[str, float]
    """Seconds of the exports only, by format."""
    megabytes: dict[str, float]
    """Size of each file in 10^6 bytes, by format, scheme and suffix."""

    @property
    def exporting(self) -> float:
        """Seconds of all exports."""
        return sum(self.exports.values())

    @property
    def rest(self) -> float:
        """Seconds of everything else."""
        return self.usage.wall - self.exporting


@dataclass(frozen=True)
class Turn:
    """One run of both sides, edgepack first."""

    edgepack: Side
    plain: Side


Figure = Callable[[Side], float]

FIGURES: dict[str, Figure] = {
    "wall time, s": lambda side: side.usage.wall,
    "CPU time, s": lambda side: side.usage.cpu,
    "CPU of wall time, %": lambda side: 100 * side.usage.cpu / side.usage.wall,
    "peak memory, MB": lambda side: side.usage.memory_mb,
}
PARTS: dict[str, Figure] = {
    "exports": lambda side: side.exporting,
    "the rest": lambda side: side.rest,
    "all": lambda side: side.usage.wall,
}


def run(runs: int, say: Say) -> list[Turn]:
    """Measure both sides `runs` times, alternately. `say` is called with the current step.

    Raises MissingError if weights or images are missing, FailedError if a side fails.
    """
    mobilenet().check()
    say("import the libraries once, so that they are in the disk cache for both sides")
    _warm_up()
    turns = []
    for number in range(1, runs + 1):
        say(f"run {number} of {runs}: edgepack build")
        ours = _edgepack()
        say(f"run {number} of {runs}: {ours.usage.wall:.0f} s; now the plain scripts")
        plain = _plain()
        say(f"run {number} of {runs}: {plain.usage.wall:.0f} s")
        turns.append(Turn(ours, plain))
    return turns


def _warm_up() -> None:
    libraries = "torchvision.models, executorch.exir, onnxscript, onnxruntime.quantization, coremltools"
    code = f"import benchmarks.exports as e; e.network(e.mobilenet().folder); import {libraries}"
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def _edgepack() -> Side:
    with tempfile.TemporaryDirectory(prefix="edgepack-benchmark-") as name:
        out = Path(name) / "bundles"
        return _side_of(build(mobilenet(), out), out)


def build(net: Net, out: Path) -> Usage:
    """Measure `edgepack build` of a network for `TARGETS`, with the bundles in `out`.

    Raises FailedError.
    """
    program = Path(sysconfig.get_path("scripts")) / "edgepack"
    command = [str(program), "build", str(net.folder), "--out", str(out), "--no-emulator"]
    for target in TARGETS:
        command += ["--target", target]
    return measure.run(command, out.with_suffix(".log"), expected=(0, CHECK_FAILED))


def _side_of(usage: Usage, out: Path) -> Side:
    """Exports and sizes from the reports of the bundles. Files that targets share are counted once."""
    exports = dict.fromkeys(FORMATS, 0.0)
    seen: set[tuple[str, float]] = set()
    megabytes = {}
    for target in TARGETS:
        found = report.from_json((out / target / "report.json").read_text(encoding="utf-8"))
        for each in (tried.artifact for tried in found.tried):
            # one export may write several files for several targets, which all have the same time
            once = (each.format, each.export_seconds)
            exports[each.format] += 0.0 if once in seen else each.export_seconds
            seen.add(once)
            megabytes[f"{each.format} {each.scheme} {Path(each.file).suffix}"] = each.bytes / 1e6
    return Side(usage, exports, megabytes)


def _plain() -> Side:
    with tempfile.TemporaryDirectory(prefix="edgepack-benchmark-") as name:
        sides = [_script(format_name, Path(name) / format_name) for format_name in FORMATS]
    total = sides[0].usage
    for side in sides[1:]:
        total += side.usage
    exports = {key: value for side in sides for key, value in side.exports.items()}
    return Side(total, exports, {key: value for side in sides for key, value in side.megabytes.items()})


def _script(name: str, folder: Path) -> Side:
    folder.mkdir()
    duration = folder.with_suffix(".seconds")
    command = [sys.executable, "-m", "benchmarks.exports", name, str(folder), str(duration)]
    usage = measure.run(command, folder.with_suffix(".log"))
    seconds = float(duration.read_text(encoding="utf-8"))
    models = [path for path in folder.iterdir() if path.stem.startswith("net-")]
    sizes = {
        f"{name} {path.stem.removeprefix('net-')} {path.suffix}": measure.size(path) / 1e6 for path in models
    }
    return Side(usage, {name: seconds}, sizes)


def tables(turns: Sequence[Turn]) -> list[Table]:
    """Totals, then where the time goes, then each format."""
    return [_totals(turns), _parts(turns), _by_format(turns), _sizes(turns[-1])]


def _compared(name: str, turns: Sequence[Turn], figure: Figure) -> tuple[str, ...]:
    """A row: medians of both sides, and the median and range of the ratios of the runs."""
    ours, plain, ratios = _series(turns, figure)
    return (
        name,
        f"{statistics.median(ours):.1f}",
        f"{statistics.median(plain):.1f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    )


def _series(turns: Sequence[Turn], figure: Figure) -> tuple[list[float], list[float], list[float]]:
    ours = [figure(turn.edgepack) for turn in turns]
    plain = [figure(turn.plain) for turn in turns]
    return ours, plain, [a / b for a, b in zip(ours, plain)]


def _headings(first: str) -> tuple[str, ...]:
    return (first, "edgepack build", "plain scripts", "ratio", "lowest to highest")


def _totals(turns: Sequence[Turn]) -> Table:
    return Table(
        f"MobileNetV2 in four formats: edgepack build and four plain scripts, in turn, runs: {len(turns)}",
        _headings("in all"),
        tuple(_compared(name, turns, figure) for name, figure in FIGURES.items()),
        notes=(
            "Medians; ratios are those of single runs. CPU time is that of all processes of a side. If it is "
            "far below wall time, other programs used this host: compare CPU times. Memory is that of the "
            "largest process; the scripts run one after the other.",
        ),
    )


def _parts(turns: Sequence[Turn]) -> Table:
    files = len(turns[-1].edgepack.megabytes)
    return Table(
        "Where the time goes, wall seconds",
        _headings("part"),
        tuple(_compared(name, turns, figure) for name, figure in PARTS.items()),
        notes=(
            "The rest of edgepack: start, weights, images, capture, float reference, running and checking "
            f"{files} files (if this host can run them), two bundles. The rest of the scripts: start, "
            "weights and images, for each script. Scripts capture the model in their exports; edgepack "
            "captures it once, in the rest.",
        ),
    )


def _by_format(turns: Sequence[Turn]) -> Table:
    def of(name: str) -> Figure:
        return lambda side: side.exports[name]

    return Table(
        "Exports alone, wall seconds, float and compressed together",
        _headings("format"),
        tuple(_compared(name, turns, of(name)) for name in FORMATS),
    )


def _sizes(turn: Turn) -> Table:
    ours, plain = turn.edgepack.megabytes, turn.plain.megabytes
    rows = [
        (*key.split(), *(f"{side[key]:.2f}" if key in side else "–" for side in (ours, plain)))
        for key in sorted({*ours, *plain})
    ]
    return Table(
        "What they wrote, MB", ("format", "scheme", "file", "edgepack", "plain"), tuple(rows), words=3
    )


def to_json(turns: Sequence[Turn]) -> str:
    """Measurements of all runs, and the median and range of the ratios, as JSON."""
    ratios = {}
    for name, figure in {**FIGURES, **PARTS}.items():
        values = _series(turns, figure)[2]
        ratios[name] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    runs = [{"edgepack": _values(turn.edgepack), "plain": _values(turn.plain)} for turn in turns]
    document = {"net": mobilenet().title, "targets": TARGETS, "ratios": ratios, "runs": runs}
    return json.dumps(document, indent=2)


def _values(side: Side) -> dict[str, object]:
    return {
        "wall_seconds": side.usage.wall,
        "cpu_seconds": side.usage.cpu,
        "peak_memory_mb": side.usage.memory_mb,
        "export_seconds": side.exports,
        "rest_seconds": side.rest,
        "file_mb": side.megabytes,
    }
