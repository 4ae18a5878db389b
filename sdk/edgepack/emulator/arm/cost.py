"""The cost of an inference as the emulator counts it: instructions and memory, never time.

Instructions are not cycles: a core's caches, clock and pipelines are not emulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from edgepack.report import Cost

WARM_UP = 3
"""First inferences, which are not counted: runtimes pack weights and lay memory out in them."""
COUNTED = 4
"""Last inferences, which are counted: all of one sample, since what is computed may hang on the values.

Now and then ONNX Runtime 1.32 takes 340 instructions more for one inference, and 110 for the next.
"""

_DELEGATE = "delegate"
_KINDS = tuple(each.name for each in fields(Cost) if each.name != "spread")


def read(path: Path) -> Cost | None:
    """The least costly of the inferences that are counted; None where the counter wrote too little.

    The file has a line an inference.
    """
    inferences = [row for row in _rows(path) if _DELEGATE not in row]
    steady = [{kind: int(row[kind]) for kind in _KINDS} for row in inferences[WARM_UP:][-COUNTED:]]
    if not steady:
        return None
    taken = [row["instructions"] for row in steady]
    least = steady[taken.index(min(taken))]
    return Cost(**least, spread=(max(taken) - min(taken)) / min(taken))


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
