"""Start-up time: `edgepack --help` and other quick commands, compared with importing typer and pydantic.

The commands run alternately in fresh processes, after one run of each that writes Python's bytecode. The
ratio is the median over the rounds of one run, so that the load of the machine affects both sides.
"""

from __future__ import annotations

import json
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Usage
from benchmarks.tables import Table

LIMIT = 2.5
"""`edgepack --help` takes at most this many times as long as the imports."""
ROUNDS = 11
_EDGEPACK = str(Path(sysconfig.get_path("scripts")) / "edgepack")
REFERENCE = "import typer, pydantic"
COMMANDS = {
    REFERENCE: (sys.executable, "-c", REFERENCE),
    "edgepack --help": (_EDGEPACK, "--help"),
    "edgepack build --help": (_EDGEPACK, "build", "--help"),
    "edgepack targets": (_EDGEPACK, "targets"),
    "edgepack plan": (_EDGEPACK, "plan", "examples/fashion_mnist"),
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Startup:
    """The runs of one command."""

    command: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    ratio: float
    """Median over the rounds of the time divided by that of the imports in the same round."""
    cpu_ratio: float


def run(say: Say, rounds: int = ROUNDS) -> list[Startup]:
    """Measure every command. Raises FailedError if one fails."""
    found: dict[str, list[Usage]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        log = Path(folder) / "log"
        for number in range(rounds + 1):
            say(f"round {number} of {rounds}" if number else "first run")
            for name, command in COMMANDS.items():
                usage = measure.run(command, log)
                if number:
                    found[name].append(usage)
    reference = found[REFERENCE]
    return [_startup(name, usages, reference) for name, usages in found.items()]


def _startup(name: str, usages: list[Usage], reference: list[Usage]) -> Startup:
    pairs = list(zip(usages, reference))
    return Startup(
        name,
        tuple(usage.wall for usage in usages),
        tuple(usage.cpu for usage in usages),
        statistics.median(usage.wall / other.wall for usage, other in pairs),
        statistics.median(usage.cpu / other.cpu for usage, other in pairs),
    )


def to_json(found: list[Startup]) -> str:
    """All runs as one JSON document."""
    return json.dumps([asdict(each) for each in found], indent=2)


def tables(found: list[Startup]) -> list[Table]:
    """One row per command."""
    rows = tuple(
        (
            each.command,
            f"{statistics.median(each.seconds):.2f}",
            f"{each.ratio:.2f}",
            f"{statistics.median(each.cpu_seconds):.2f}",
            f"{each.cpu_ratio:.2f}",
        )
        for each in found
    )
    (help_ratio,) = (each.ratio for each in found if each.command == "edgepack --help")
    verdict = "within" if help_ratio <= LIMIT else "OVER"
    return [
        Table(
            "Start-up time",
            ("command", "s", "× imports", "CPU s", "× imports (CPU)"),
            rows,
            notes=(f"`edgepack --help` is {verdict} the limit of {LIMIT} × importing typer and pydantic.",),
        )
    ]
