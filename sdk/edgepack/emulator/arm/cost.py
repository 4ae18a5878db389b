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


_CALL = "call"
_KINDS = tuple(each.name for each in fields(Cost) if each.name != "spread")


def read(path: Path) -> Cost | None:
    """What the counter wrote, a line an inference; None where it wrote too little."""
    inferences = [row for row in _rows(path) if _CALL not in row]
    steady = [{kind: int(row[kind]) for kind in _KINDS} for row in inferences[WARM_UP:]]
    if not steady:
        return None
    found = {kind: int(statistics.median_low(row[kind] for row in steady)) for kind in _KINDS}
    taken = [row["instructions"] for row in steady]
    return Cost(**found, spread=(max(taken) - min(taken)) / found["instructions"])


def calls(path: Path) -> Mapping[str, int]:
    """Instructions within each call of a delegate, by the place of the call: its chain and instruction."""
    found: Counter[str] = Counter()
    for row in _rows(path):
        if _CALL in row:
            found[row[_CALL]] += int(row["instructions"])
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="ascii").splitlines():
        yield dict(word.split("=") for word in line.split())
