"""Run one model file on the emulated core of a target, in the ARM build of its runtime."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgepack.arrays import Sample
from edgepack.emulator import job as jobs
from edgepack.emulator.arm import cache, cost, machine, pins, tensors
from edgepack.emulator.arm.entry import Entry
from edgepack.emulator.job import Death, Job
from edgepack.errors import EdgepackError
from edgepack.report import Cost
from edgepack.target import Target

_SYSTEM, _SAMPLES, _OUTPUTS, _COUNTS, _LOG = "system", "samples.bin", "outputs.bin", "counts.txt", "log.txt"
_CAUSES = (
    "Missing operator",
    "Program identifier",
    "Serialization Format version identifier",
    "Failed to create",
)
"""Log lines of ExecuTorch that name the cause, before it fails with an error number only: a missing operator,
an unknown file version, or a subgraph that XNNPACK rejects."""


@dataclass(frozen=True)
class Run:
    """The result of a model file on the emulated device."""

    outputs: tuple[Sample, ...]
    cost: Cost | None
    no_cost: str
    """Why nothing was counted; empty if `cost` is not None."""
    about: str
    """The emulated core, for the user."""
    runtime: str
    """Name and version of the runtime."""
    seconds: float
    delegates: Mapping[str, int] = field(default_factory=dict)
    """Instructions of an inference within each delegate; empty if the runtime marks none."""


@dataclass(frozen=True)
class Build:
    """A build of a runtime, and the program that runs model files with it."""

    name: str
    runner: Path
    given: tuple[str, ...]
    """Arguments of the runner before the model file."""
    folder: Path
    """Folder of its libraries."""
    preload: str = ""
    """Library that is loaded first; empty for none."""


def run(
    job: Job, target: Target, scratch: Path, time_limit: float, *, samples: int = 8, by: Build | None = None
) -> Run | Death:
    """Run the first `samples` samples of `job` in the folder `scratch`, which is replaced.

    `by` is the build of the runtime, by default that for aarch64 Linux; `time_limit` is in seconds.
    Raises EdgepackError if the emulator is not set up.
    """
    entry = cache.entry()
    if entry is None or target.emulator is None:
        raise EdgepackError("the ARM emulator is not set up", hint="edgepack emulator setup")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    machine.write(target, entry, scratch / _SYSTEM)
    inputs = jobs.read_samples(Path(job.samples))[:samples]
    # the last sample is repeated: all counted inferences compute the same
    repeats = max(cost.COUNTED - 1, cost.WARM_UP + cost.COUNTED - len(inputs))
    tensors.write((*inputs, *[inputs[-1]] * repeats), scratch / _SAMPLES)
    (scratch / _model(job)).symlink_to(Path(job.path).resolve())
    start = time.perf_counter()
    by = by or _for_linux(job, entry)
    failure = _run(_line(job, target, entry, by), entry, scratch, time_limit)
    if failure:
        return failure
    no_cost = entry.made.no_counts
    counts = None if no_cost else cost.read(scratch / _COUNTS)
    return Run(
        outputs=tensors.read(scratch / _OUTPUTS)[: len(inputs)],
        cost=counts,
        no_cost=no_cost,
        about=machine.about(target),
        runtime=by.name,
        seconds=time.perf_counter() - start,
        delegates={} if no_cost else cost.delegates(scratch / _COUNTS),
    )


def _for_linux(job: Job, entry: Entry) -> Build:
    runtime = pins.RUNTIMES[job.format]
    folder = entry.library(runtime)
    arguments = folder.glob("libonnxruntime.so*") if runtime == "onnxruntime" else ()
    name = f"{runtime} {entry.made.versions[runtime]}"
    return Build(name, entry.runner(runtime), tuple(map(str, arguments)), folder)


def _line(job: Job, target: Target, entry: Entry, by: Build) -> list[str]:
    """The command. Paths of the run are relative to its folder, so that instruction counts repeat."""
    assert target.emulator is not None
    counts = "" if entry.made.no_counts else _COUNTS
    line = machine.line(entry, target.emulator.cpu, Path(_SYSTEM), counts=counts)
    line += ["-E", f"LD_LIBRARY_PATH={by.folder}"]
    line += ["-E", f"LD_PRELOAD={by.preload}"] if by.preload else []
    line += [str(by.runner), *by.given]
    return [*line, _model(job), _SAMPLES, _OUTPUTS, str(cost.WARM_UP + cost.COUNTED)]


def _model(job: Job) -> str:
    return f"model{Path(job.path).suffix}"


def _run(line: list[str], entry: Entry, scratch: Path, time_limit: float) -> Death | None:
    with (scratch / _LOG).open("wb") as log:
        child = subprocess.Popen(
            line,
            cwd=scratch,
            env=machine.environment(entry),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            code = child.wait(time_limit)
        except subprocess.TimeoutExpired:
            return Death(f"stopped at the time limit of {time_limit:.0f} s on the emulated device")
        finally:
            child.kill()
            child.wait()
    if code:
        return Death(f"{jobs.reason(code, _sorted_log(scratch / _LOG))} (on the emulated device)")
    return None


def _sorted_log(log: Path) -> str:
    """The log, with the lines that name a cause last."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(sorted(lines, key=lambda line: any(cause in line for cause in _CAUSES)))
