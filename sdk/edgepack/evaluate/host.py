"""Runs on this host: a model file in its format's own runtime, in a child process.

A runtime that crashes, hangs or is killed ends the child, not edgepack: the result is a `Death`. The child
is a fork of this module run as a server, or this module run as a program where the system has no fork server;
the two communicate through files in one folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgepack import formats
from edgepack.arrays import Sample
from edgepack.emulator.job import Death, Job, read_samples, reason, write_samples
from edgepack.evaluate import fork_server
from edgepack.evaluate.fork_server import Children
from edgepack.formats import Runner

_JOB, _FIGURES, _OUTPUTS, _LOG = "job.json", "figures.json", "outputs.npz", "log.txt"
_PAIRS = 30
_PAIRS_SECONDS = 6.0
_LEAST_SECONDS = 0.002
"""Inferences are timed in runs of at least this length, so that the clock's own cost does not count."""
_WARM_UP = 2
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Run:
    """A file's outputs on this host, with its time and memory."""

    outputs: tuple[Sample, ...]
    load_seconds: float
    memory_mb: float | None
    """Peak memory of loading and running above the bare runtime's, 10^6 bytes; None where the system does not
    report it (it is read from /proc on Linux)."""
    latency_ratio: float | None
    """Time of an inference against the float file's: median of paired ratios; None without one."""
    latency_spread: tuple[float, float] | None
    """The quarter and three-quarter points of those ratios."""


_children = Children("edgepack.evaluate.host", _LOG)


def run(job: Job, scratch: Path, time_limit: float) -> Run | Death:
    """Run `job` in a child process with `scratch` as its folder, at most `time_limit` seconds."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / _JOB).write_text(json.dumps(asdict(job)), encoding="utf-8")
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    code = _children.run(scratch, environment, time_limit)
    if code is None:
        return Death(f"no end after {time_limit:.0f} s: stopped")
    if code:
        return Death(reason(code, (scratch / _LOG).read_text(encoding="utf-8", errors="replace")))
    figures = json.loads((scratch / _FIGURES).read_text(encoding="utf-8"))
    if figures["latency_spread"]:
        figures["latency_spread"] = tuple(figures["latency_spread"])
    return Run(outputs=read_samples(scratch / _OUTPUTS), **figures)


def _prepare(scratch: Path) -> None:
    """Import the runtime into the server. If the import crashes or hangs, the run is a `Death`."""
    formats.load(_job(scratch).format).import_runtime()


def _job(scratch: Path) -> Job:
    return Job(**json.loads((scratch / _JOB).read_text(encoding="utf-8")))


def _child(scratch: Path) -> None:
    """Run the job in `scratch`, and write outputs and figures there."""
    job = _job(scratch)
    inputs = read_samples(Path(job.samples))
    module = formats.load(job.format)
    module.import_runtime()
    bare = _reset_peak()
    begun = time.perf_counter()
    runner = module.load(Path(job.path))
    load_seconds = time.perf_counter() - begun
    outputs = tuple(runner(sample) for sample in inputs)
    peak = _peak()
    ratios = _paired(runner, module.load(Path(job.baseline)), inputs[0]) if job.baseline else []
    quarters = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist() if ratios else None
    figures = {
        "load_seconds": load_seconds,
        "memory_mb": None if bare is None or peak is None else max(0.0, (peak - bare) / MEGABYTE),
        "latency_ratio": quarters[1] if quarters else None,
        "latency_spread": (quarters[0], quarters[2]) if quarters else None,
    }
    write_samples(outputs, scratch / _OUTPUTS)
    (scratch / _FIGURES).write_text(json.dumps(figures), encoding="utf-8")


def _status(key: str) -> int | None:
    """A figure of /proc/self/status in bytes; None where the system has no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), None)


def _reset_peak() -> int | None:
    """Memory now, from which the peak is counted anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return _status("VmRSS")


def _peak() -> int | None:
    return _status("VmHWM")


def _paired(this: Runner, other: Runner, sample: Sample) -> list[float]:
    """Ratios of this one's processor time to the other's, run in turn, the order alternating."""
    for _ in range(_WARM_UP):
        this(sample)
        other(sample)
    times = max(1, round(_LEAST_SECONDS / _seconds(other, sample, 1)))
    ratios: list[float] = []
    end = time.perf_counter() + _PAIRS_SECONDS
    while len(ratios) < _PAIRS and (len(ratios) < 3 or time.perf_counter() < end):
        if len(ratios) % 2:
            there, here = _seconds(other, sample, times), _seconds(this, sample, times)
        else:
            here, there = _seconds(this, sample, times), _seconds(other, sample, times)
        ratios.append(here / there)
    return ratios


def _seconds(call: Runner, sample: Sample, times: int) -> float:
    """Of this process's processor, which other programs' load does not lengthen; it has one thread."""
    begun = time.process_time()
    for _ in range(times):
        call(sample)
    return time.process_time() - begun


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _child(Path(sys.argv[1]))
    else:
        fork_server.serve(_prepare, _child, _LOG)
