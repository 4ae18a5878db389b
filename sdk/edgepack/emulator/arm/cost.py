"""The cost of an inference as the emulator counts it: instructions and memory, never time.

Instructions are not cycles: a core's caches, clock and pipelines are not emulated.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from edgepack.report import Cost

WARM_UP = 3
"""First inferences, which are not counted: runtimes pack weights and lay memory out in them."""
COUNTED = 5
"""Inferences that are counted at least."""


_DELEGATE = "delegate"
_KINDS = tuple(each.name for each in fields(Cost) if each.name != "spread")


def read(path: Path) -> Cost | None:
    """What the counter wrote, a line an inference; None where it wrote too little."""
    inferences = [row for row in _rows(path) if _DELEGATE not in row]
    steady = [{kind: int(row[kind]) for kind in _KINDS} for row in inferences[WARM_UP:]]
    if not steady:
        return None
    found = {kind: int(statistics.median_low(row[kind] for row in steady)) for kind in _KINDS}
    taken = [row["instructions"] for row in steady]
    return Cost(**found, spread=(max(taken) - min(taken)) / found["instructions"])


def delegates(path: Path) -> Mapping[str, int]:
    """Instructions of the last inference within each delegate, of the two whose calls are marked."""
    rows = [row for row in _rows(path) if _DELEGATE in row]
    found: Counter[str] = Counter()
    for row in rows[len(rows) // 2 :]:
        found[row[_DELEGATE]] += int(row["instructions"])
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="ascii").splitlines():
        yield dict(word.split("=") for word in line.split())
