"""The process that builds: `python -m benchmarks.zoo.worker` forks one child for each build.

It imports the libraries and builds a small network first, so that a child has what torch, the exporters and
the runtimes make at their first use. A child is one `edgepack build`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from edgepack.cli import main
from edgepack.evaluate import fork_server
from edgepack.evaluate.fork_server import Children
from edgepack.model import torchvision_operators

LOG = "log"
_ARGUMENTS, _USAGE = "arguments.json", "usage.json"
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_LIBRARIES = ("torchvision", "timm", "transformers")
_FIRST = "audio/ds_cnn"


@dataclass(frozen=True)
class Usage:
    """What a build used, without its imports."""

    cpu_seconds: float = 0.0
    memory_mb: float = 0.0
    """Peak, 10^6 bytes, with what the libraries take."""


def children() -> Children:
    """Children of a worker of their own: use them from one thread."""
    return Children("benchmarks.zoo.worker", LOG)


def write_arguments(arguments: list[str], folder: Path) -> None:
    """Tell the child of `folder` what to build."""
    (folder / _ARGUMENTS).write_text(json.dumps(arguments), encoding="utf-8")


def read_usage(folder: Path) -> Usage:
    """What the child of `folder` used; zeros if it was killed."""
    path = folder / _USAGE
    return Usage(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Usage()


def _build(folder: Path) -> None:
    sys.argv = ["edgepack", *json.loads((folder / _ARGUMENTS).read_text(encoding="utf-8"))]
    try:
        main()
    finally:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(each.ru_utime + each.ru_stime for each in used)
        memory = max(each.ru_maxrss for each in used) * _RSS_UNIT / 1e6
        (folder / _USAGE).write_text(json.dumps(asdict(Usage(cpu, memory))), encoding="utf-8")


class _WarmUp:
    """Imports and the first build, once."""

    def __init__(self) -> None:
        self._is_done = False

    def __call__(self, _: Path) -> None:
        if self._is_done:
            return
        self._is_done = True
        torchvision_operators.declare()
        for library in _LIBRARIES:
            importlib.import_module(library)
        from benchmarks.zoo import build, table

        with tempfile.TemporaryDirectory(prefix="edgepack-zoo-") as name:
            folder = Path(name)
            build.write(table.find(_FIRST), folder)
            write_arguments([*build.arguments(table.find(_FIRST), folder), "--scheme", "fp32"], folder)
            with Path(os.devnull).open("w") as nothing, _quiet(nothing), contextlib.suppress(SystemExit):
                _build(folder)


@contextlib.contextmanager
def _quiet(sink: TextIO) -> Iterator[None]:
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _build(Path(sys.argv[1]))
    else:
        fork_server.serve(_WarmUp(), _build, LOG)
