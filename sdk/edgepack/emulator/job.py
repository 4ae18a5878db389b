"""A job: one model file to run on samples in a child process, and how that process may end.

The host's runner and the emulated device's share it.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepack.arrays import Array, Sample

_RAISED = re.compile(r"[\w.]*(Error|Exception|Fail|Fault|Argument): ")


@dataclass(frozen=True)
class Job:
    """One file to run, and the float file of its format that it is timed against."""

    format: str
    path: str
    samples: str
    baseline: str = ""


@dataclass(frozen=True)
class Death:
    """Why the child ended before it was done."""

    reason: str


def write_samples(inputs: tuple[Sample, ...], path: Path) -> None:
    """Write samples for child processes: one `.npz` entry for each sample and input."""
    entries = {f"{row}_{n}": array for row, each in enumerate(inputs) for n, array in enumerate(each)}
    np.savez(path, **entries)  # type: ignore[arg-type]  # its stub takes keywords for options


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Read what `write_samples` wrote."""
    rows: dict[int, dict[int, Array]] = {}
    with np.load(path, allow_pickle=False) as entries:
        for key in entries.files:
            row, number = key.split("_")
            rows.setdefault(int(row), {})[int(number)] = entries[key]
    return tuple(tuple(rows[row][n] for n in sorted(rows[row])) for row in sorted(rows))


def reason(code: int, log: str) -> str:
    """Why a runtime's process ended with `code`: its signal, or the last error in its log."""
    if code < 0:
        name = signal.Signals(-code).name
        likely = " (out of memory, most likely)" if -code == signal.SIGKILL else ""
        return f"the runtime was ended by {name}{likely}"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    told = (raised or lines or [f"exit code {code}"])[-1]
    return f"the runtime failed: {told}"
