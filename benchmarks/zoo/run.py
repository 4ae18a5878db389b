"""Build many architectures, side by side, and keep each result, so that a stopped run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from queue import Queue

from benchmarks.zoo import build, table, worker
from benchmarks.zoo.architecture import Architecture
from benchmarks.zoo.result import ADAPTER, Result
from edgepack.evaluate.fork_server import Children

SECONDS = 900.0
"""Time limit of a build."""

Say = Callable[[str], None]


def chosen(patterns: Sequence[str]) -> list[Architecture]:
    """The architectures whose name matches a pattern; `sample` stands for one of each kind."""
    wanted = [name for pattern in patterns for name in (table.SAMPLE if pattern == "sample" else (pattern,))]
    return [found for found in table.architectures() if any(fnmatch(found.name, each) for each in wanted)]


def run(architectures: Sequence[Architecture], folder: Path, jobs: int, say: Say) -> list[Result]:
    """The result of each architecture; those that `folder` has are not built again."""
    folder.mkdir(parents=True, exist_ok=True)
    workers: Queue[Children] = Queue()
    for _ in range(jobs):
        workers.put(worker.children())
    try:
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda each: _result(each, folder, workers, say), architectures))
    finally:
        while not workers.empty():
            workers.get().close()


def _result(architecture: Architecture, folder: Path, workers: Queue[Children], say: Say) -> Result:
    path = folder / f"{architecture.name.replace('/', '-')}.json"
    if path.exists():
        return ADAPTER.validate_json(path.read_bytes())
    say(f"build {architecture.name}")
    children = workers.get()
    try:
        found = build.build(architecture, SECONDS, children)
    finally:
        workers.put(children)
    partial = path.with_suffix(".partial")
    partial.write_bytes(ADAPTER.dump_json(found, indent=2))
    os.replace(partial, path)
    return found
