"""The device: one model file by the device's own build of its runtime, on the device's emulated core."""

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
_TELLING = (
    "Missing operator",
    "Program identifier",
    "Serialization Format version identifier",
    "Failed to create",
)
"""What ExecuTorch logs, of an operator, a file's form or XNNPACK's refusal, before it fails with a number."""


@dataclass(frozen=True)
class Run:
    """What a file did on the emulated device."""

    outputs: tuple[Sample, ...]
    cost: Cost | None
    no_cost: str
    """Why nothing was counted; empty where it was."""
    about: str
    """What was emulated, in words."""
    runtime: str
    """The runtime that ran it, with its version."""
    seconds: float
    delegates: Mapping[str, int] = field(default_factory=dict)
    """Instructions of an inference within each delegate; empty where the runtime tells of none."""


@dataclass(frozen=True)
class Build:
    """A build of a runtime, and what runs files by it."""

    name: str
    runner: Path
    given: tuple[str, ...]
    """What the runner takes before the file."""
    folder: Path
    """Where its libraries are."""
    preload: str = ""


def run(
    job: Job, target: Target, scratch: Path, time_limit: float, *, samples: int = 8, by: Build | None = None
) -> Run | Death:
    """Run the first `samples` samples of `job` with `scratch`, which is made anew, as the folder.

    `by` is the runtime's build, by default the one for aarch64 Linux.
    Raises EdgepackError where the emulator is not set up.
    """
    entry = cache.entry()
    if entry is None or target.emulator is None:
        raise EdgepackError("the ARM emulator is not set up", hint="edgepack emulator setup")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    machine.write(target, entry, scratch / _SYSTEM)
    given = jobs.read_samples(Path(job.samples))[:samples]
    fed = (*given, *[given[-1]] * max(cost.COUNTED - 1, cost.WARM_UP + cost.COUNTED - len(given)))
    tensors.write(fed, scratch / _SAMPLES)
    (scratch / _model(job)).symlink_to(Path(job.path).resolve())
    begun = time.perf_counter()
    by = by or _for_linux(job, entry)
    death = _run(_line(job, target, entry, by), entry, scratch, time_limit)
    if death:
        return death
    no_cost = entry.made.no_counts
    counted = None if no_cost else cost.read(scratch / _COUNTS)
    return Run(
        outputs=tensors.read(scratch / _OUTPUTS)[: len(given)],
        cost=counted,
        no_cost=no_cost,
        about=machine.about(target),
        runtime=by.name,
        seconds=time.perf_counter() - begun,
        delegates={} if no_cost else cost.delegates(scratch / _COUNTS),
    )


def _for_linux(job: Job, entry: Entry) -> Build:
    runtime = pins.RUNTIMES[job.format]
    folder = entry.library(runtime)
    given = folder.glob("libonnxruntime.so*") if runtime == "onnxruntime" else ()
    name = f"{runtime} {entry.made.versions[runtime]}"
    return Build(name, entry.runner(runtime), tuple(map(str, given)), folder)


def _line(job: Job, target: Target, entry: Entry, by: Build) -> list[str]:
    """The command; all that is the run's own is named from its folder, so that counts repeat."""
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
            return Death(f"no end after {time_limit:.0f} s on the emulated device: stopped")
        finally:
            child.kill()
            child.wait()
    if code:
        return Death(f"{jobs.reason(code, _told(scratch / _LOG))} (on the emulated device)")
    return None


def _told(log: Path) -> str:
    """The log, a line that tells of the cause last."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(sorted(lines, key=lambda line: any(word in line for word in _TELLING)))
