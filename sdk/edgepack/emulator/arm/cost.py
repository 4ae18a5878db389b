"""The cost of an inference as the emulator counts it: instructions and memory traffic, not time.

Instructions are not cycles: caches, clock and pipelines of a core are not emulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from edgepack.report import Cost

WARM_UP = 3
"""Inferences before the counted ones: runtimes pack weights and allocate memory in them."""
COUNTED = 4
"""Counted inferences, all of the same sample, because the work may depend on values.

ONNX Runtime 1.32 occasionally runs 340 more instructions in one inference, and 110 more in the next.
"""

_DELEGATE = "delegate"
_COUNTERS = tuple(field.name for field in fields(Cost) if field.name != "spread")


def read(path: Path) -> Cost | None:
    """The cheapest of the counted inferences, or None if the file has too few.

    The file has one line for each inference.
    """
    inferences = [row for row in _rows(path) if _DELEGATE not in row]
    steady = [{name: int(row[name]) for name in _COUNTERS} for row in inferences[WARM_UP:][-COUNTED:]]
    if not steady:
        return None
    instructions = [row["instructions"] for row in steady]
    least = steady[instructions.index(min(instructions))]
    return Cost(**least, spread=(max(instructions) - min(instructions)) / min(instructions))


def delegates(path: Path) -> Mapping[str, int]:
    """Instructions within each delegate, of the last of the two inferences with marked calls."""
    rows = [row for row in _rows(path) if _DELEGATE in row]
    counts: Counter[str] = Counter()
    for row in rows[len(rows) // 2 :]:
        counts[row[_DELEGATE]] += int(row["instructions"])
    return counts


def _rows(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="ascii").splitlines():
        yield dict(word.split("=") for word in line.split())
