"""A job: one model file to run on samples in a child process, on the host or on an emulated device."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepack.arrays import Array, Sample

_ERROR = re.compile(r"[\w.]*(Error|Exception|Fail|Fault|Argument): ")


@dataclass(frozen=True)
class Job:
    """A model file, the samples to run it on, and a baseline to measure it against."""

    format: str
    path: str
    samples: str
    """Path of a file of `write_samples`."""
    baseline: str = ""
    """Path of the float file of the same format; empty for none."""


@dataclass(frozen=True)
class Death:
    """A child process that failed or exceeded its time limit."""

    reason: str


def write_samples(inputs: tuple[Sample, ...], path: Path) -> None:
    """Write samples for a child process as `.npz`, with one entry for each sample and input."""
    entries = {f"{row}_{n}": array for row, sample in enumerate(inputs) for n, array in enumerate(sample)}
    np.savez(path, **entries)  # type: ignore[arg-type]  # its stub takes keywords for options


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Read a file of `write_samples`."""
    rows: dict[int, dict[int, Array]] = {}
    with np.load(path, allow_pickle=False) as entries:
        for key in entries.files:
            row, number = key.split("_")
            rows.setdefault(int(row), {})[int(number)] = entries[key]
    return tuple(tuple(rows[row][n] for n in sorted(rows[row])) for row in sorted(rows))


def reason(code: int, log: str) -> str:
    """Why a process exited with `code`: its signal, or the last error in its log."""
    if code < 0:
        name = signal.Signals(-code).name
        cause = " (most likely out of memory)" if -code == signal.SIGKILL else ""
        return f"the runtime was killed by {name}{cause}"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return f"the runtime failed: {(errors or lines or [f'exit code {code}'])[-1]}"
