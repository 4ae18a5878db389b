"""Instructions of an inference on each emulated core, in float and int8, and how well they repeat.

Every file runs in several processes. The outputs of the first are compared with those of this host and of the
float model; the others only count instructions.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import FailedError
from benchmarks.nets import MissingError, Net
from benchmarks.tables import Table
from edgepack import formats, plan, target
from edgepack.arrays import Sample
from edgepack.compress import ptq
from edgepack.compress.calibration import Calibration
from edgepack.emulator import arm
from edgepack.emulator.job import Death, Job, write_samples
from edgepack.evaluate import device, device_checks
from edgepack.evaluate.model_file import Reference
from edgepack.model import source
from edgepack.model.source import Source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.silence import captured, quiet
from edgepack.target import Target

TARGETS = ("raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "pixel-8")
FORMATS = ("executorch", "onnx")
SAMPLES = device.SAMPLES
_TIME_LIMIT = 1800.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One file on one core."""

    net: str
    target: str
    core: str
    format: str
    scheme: str
    megabytes: float
    instructions: int
    """Instructions of one inference, the median of the processes."""
    spread: float
    """Range of the instructions of the processes, divided by the median."""
    ratio: float
    """Instructions divided by those of the float file."""
    delegated: float | None
    """Instructions within delegates in percent; None for formats without delegates."""
    relative: float
    """Largest difference from the outputs on this host, divided by their largest value."""
    cosine: float
    """Least cosine similarity with the outputs on this host."""
    tops: float | None
    """Agreement with this host in percent; None for models without classes."""
    tops_float: float | None
    """Agreement with the float model in percent."""
    seconds: float
    """Duration of the first process."""


def run(nets: Sequence[Net], runs: int, say: Say) -> list[Row]:
    """Measure every net on every core, each file in `runs` processes.

    Raises MissingError if weights, data or the emulator are missing; FailedError if a file cannot be run.
    """
    for net in nets:
        net.check()
    if arm.status() is None:
        raise MissingError("the ARM emulator is not set up: run `edgepack emulator setup`")
    os.environ.update(measure.ENVIRONMENT)
    return [row for net in nets for row in _net(net, runs, say)]


def _net(net: Net, runs: int, say: Say) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="edgepack-benchmark-") as scratch,
        tempfile.TemporaryFile() as sink,
    ):
        folder = Path(scratch)
        with captured(sink):
            loaded = source.load(
                plan.resolve(BuildOptions(model=str(net.folder), targets=TARGETS, out=scratch))
            )
            calibration = Calibration(loaded)
            recipe = ptq.choose_recipe(calibration)
        write_samples(loaded.evaluation.inputs[:SAMPLES], folder / "samples.npz")
        for name in TARGETS:
            for format_name in FORMATS:
                bare: Row | None = None
                for each in (Recipe("fp32"), recipe):
                    wanted = target.load(name)
                    say(f"{net.title}, {wanted.title}: {format_name} {each.scheme}")
                    path = folder / f"{name}-{each.scheme}{formats.load(format_name).suffix}"
                    with captured(sink), quiet():
                        formats.load(format_name).export(ptq.prepare(calibration, each), each, wanted, path)
                    row = _row(net, loaded, each, wanted, format_name, path, runs)
                    bare = bare or row
                    yield replace(row, ratio=row.instructions / bare.instructions)


def _same_classes(distance: device_checks.Distance) -> float | None:
    """Percentage of samples with the same top-1 class."""
    return next((each.value for each in distance.shared if each.metric == "agreement"), None)


def _row(
    net: Net, loaded: Source, recipe: Recipe, wanted: Target, format_name: str, path: Path, runs: int
) -> Row:
    job = Job(format_name, str(path), str(path.parent / "samples.npz"))
    ran = [_ran(job, wanted, path.parent / "run") for _ in range(runs)]
    counts = [_instructions(each) for each in ran]
    middle = statistics.median(counts)
    found = device_checks.agreement(
        ran[0],
        _host_outputs(format_name, path, loaded),
        Reference((), loaded.reference, loaded.contract, loaded.judged),
        recipe.scheme,
    )
    assert wanted.emulator is not None
    return Row(
        net=net.title,
        target=wanted.title,
        core=wanted.emulator.cpu,
        format=format_name,
        scheme=recipe.scheme,
        megabytes=measure.size(path) / 1e6,
        instructions=round(middle),
        spread=(max(counts) - min(counts)) / middle,
        ratio=1.0,
        delegated=_delegated(ran[0]),
        relative=found.to_host.relative,
        cosine=found.to_host.cosine,
        tops=_same_classes(found.to_host),
        tops_float=_same_classes(found.to_float),
        seconds=ran[0].seconds,
    )


def _host_outputs(format_name: str, path: Path, loaded: Source) -> tuple[Sample, ...]:
    """Outputs of the file on this host."""
    with quiet():
        runner = formats.load(format_name).load(path)
        return tuple(runner(sample) for sample in loaded.evaluation.inputs[:SAMPLES])


def _ran(job: Job, wanted: Target, scratch: Path) -> arm.Run:
    found = arm.run(job, wanted, scratch, _TIME_LIMIT, samples=SAMPLES)
    if isinstance(found, Death):
        raise FailedError([f"run {job.path} on {wanted.title}"], 1, [found.reason])
    return found


def _instructions(ran: arm.Run) -> int:
    if ran.cost is None:
        raise MissingError(f"nothing was counted: {ran.no_cost}")
    return ran.cost.instructions


def _delegated(ran: arm.Run) -> float | None:
    return 100 * sum(ran.delegates.values()) / _instructions(ran) if ran.delegates else None


COLUMNS = (
    "device",
    "core",
    "format",
    "scheme",
    "MB",
    "M instructions",
    "spread",
    "× float",
    "in delegates %",
    "to host, relative",
    "to host, cosine",
    "to host, top-1 %",
    "to float, top-1 %",
    "check, s",
)


def tables(rows: Sequence[Row]) -> list[Table]:
    """A table for each network; the last explains the columns."""
    nets = dict.fromkeys(row.net for row in rows)
    made = [
        Table(net, COLUMNS, tuple(_cells(row) for row in rows if row.net == net), words=4) for net in nets
    ]
    meaning = (
        "Instructions: of one inference on the emulated core, not a measure of time; spread: between "
        f"processes. To host, to float: outputs for {SAMPLES} samples compared with those of the same file "
        "on this host, and of the float model. Check: seconds of one process with "
        f"{SAMPLES} samples. int8 has the first recipe of a search."
    )
    made[-1] = replace(made[-1], notes=(meaning,))
    return made


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.target,
        row.core,
        row.format,
        row.scheme,
        f"{row.megabytes:.2f}",
        f"{row.instructions / 1e6:.2f}",
        "exact" if row.spread == 0 else f"{row.spread:.1e}",
        f"{row.ratio:.2f}",
        _percent(row.delegated),
        f"{row.relative:.1e}",
        f"{row.cosine:.4f}",
        _percent(row.tops),
        _percent(row.tops_float),
        f"{row.seconds:.1f}",
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def to_json(rows: Sequence[Row]) -> str:
    """All rows as one JSON document."""
    return json.dumps([asdict(row) for row in rows], indent=2)
