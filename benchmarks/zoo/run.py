"""Build many architectures, side by side, and keep each result, so that a stopped run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.zoo import build, table
from benchmarks.zoo.architecture import Architecture
from benchmarks.zoo.result import ADAPTER, Result

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
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda each: _result(each, folder, say), architectures))


def _result(architecture: Architecture, folder: Path, say: Say) -> Result:
    path = folder / f"{architecture.name.replace('/', '-')}.json"
    if path.exists():
        return ADAPTER.validate_json(path.read_bytes())
    say(f"build {architecture.name}")
    found = build.build(architecture, SECONDS)
    partial = path.with_suffix(".partial")
    partial.write_bytes(ADAPTER.dump_json(found, indent=2))
    os.replace(partial, path)
    return found
