"""Measuring a command: its time and memory, as the kernel accounts for them."""

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
"""Added to the environment of every command: one thread, and nothing sent anywhere."""

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of `ru_maxrss` (getrusage(2): kilobytes on Linux, bytes on macOS)."""
_LINES_SHOWN = 15
_REASON = 200
"""Characters of an error that stand in a table."""
_RAISED = re.compile(r"([\w.]*(Error|Exception|Fail)\b|error: )")


class FailedError(Exception):
    """A measured command ended with an exit code that is none of the expected ones."""

    def __init__(self, command: Sequence[str], code: int, log: Sequence[str]) -> None:
        super().__init__(f"`{' '.join(command)}` ended with {code}:\n" + "\n".join(log[-_LINES_SHOWN:]))
        raised = [line for line in log if _RAISED.match(line)]
        self.reason = (raised or [f"exit code {code}"])[-1][:_REASON]
        """In one line: the last error that its output names, or else the exit code."""


@dataclass(frozen=True)
class Usage:
    """What a command took, its own children included."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of processors, in user and system mode."""
    memory_mb: float
    """Most resident memory of the largest single process, 10^6 bytes."""

    def __add__(self, then: Usage) -> Usage:
        """What two commands took, one after the other."""
        return Usage(self.wall + then.wall, self.cpu + then.cpu, max(self.memory_mb, then.memory_mb))


def run(command: Sequence[str], log: Path, *, expected: Sequence[int] = (0,)) -> Usage:
    """Run `command` in a fresh process at the top of the checkout, its output going to `log`.

    Raises FailedError with the end of the log where the exit code is not `expected`. Linux counts a
    child's memory from its parent's at the start: call this where little has been imported.
    """
    begun = time.perf_counter()
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
            child.terminate()  # edgepack takes its own children and folders with it
            child.wait()
            raise
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in expected:
        raise FailedError(command, child.returncode, log.read_text("utf-8", "replace").splitlines())
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT / 1e6)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
