"""Measure the time and memory of a command, as the kernel counts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nets import ROOT

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "NNCF_CI": "1",  # nncf's switch for its telemetry
}
"""Added to the environment of every command: one thread, no telemetry."""

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of `ru_maxrss` (getrusage(2): kilobytes on Linux, bytes on macOS)."""
_LINES_SHOWN = 15
_REASON = 200
"""Characters of an error in a table."""
_ERROR = re.compile(r"([\w.]*(Error|Exception|Fail)\b|error: )")


class FailedError(Exception):
    """A measured command ended with an unexpected exit code."""

    def __init__(self, command: Sequence[str], code: int, log: Sequence[str]) -> None:
        super().__init__(f"`{' '.join(command)}` ended with {code}:\n" + "\n".join(log[-_LINES_SHOWN:]))
        errors = [line for line in log if _ERROR.match(line)]
        self.reason = (errors or [f"exit code {code}"])[-1][:_REASON]
        """The last error in its output, or else the exit code, in one line."""


@dataclass(frozen=True)
class Usage:
    """Resources of a command and its child processes."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """CPU seconds in user and system mode."""
    memory_mb: float
    """Peak resident memory of the largest process, in 10^6 bytes."""

    def __add__(self, then: Usage) -> Usage:
        """Resources of two commands that run one after the other."""
        return Usage(self.wall + then.wall, self.cpu + then.cpu, max(self.memory_mb, then.memory_mb))


def run(command: Sequence[str], log: Path, *, expected: Sequence[int] = (0,)) -> Usage:
    """Run `command` in a new process in the root of the checkout, with its output in `log`.

    Raises FailedError with the end of the log if the exit code is not `expected`. On Linux the memory of a
    child starts with that of its parent, so the caller should import little.
    """
    start = time.perf_counter()
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.terminate()  # edgepack ends its child processes and removes its folders
            child.wait()
            raise
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in expected:
        raise FailedError(command, child.returncode, log.read_text("utf-8", "replace").splitlines())
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT / 1e6)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
