"""Sequences of class numbers: collapsing by CTC, and edit distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgepack.arrays import Array


def collapsed(steps: Array, blank: int) -> list[int]:
    """The symbols of a path of CTC: repeated ones once, then without blanks (Graves et al. 2006)."""
    flat = steps.ravel()
    kept = np.ones(len(flat), bool)
    kept[1:] = flat[1:] != flat[:-1]
    return [int(each) for each in flat[kept] if each != blank]


def edit_distance(ours: Sequence[int], reference: Sequence[int]) -> int:
    """Insertions, deletions and substitutions that make one sequence the other (Levenshtein 1966)."""
    theirs = np.asarray(reference, np.int64)
    places = np.arange(len(theirs) + 1)
    row = places.copy()
    for number, symbol in enumerate(ours, 1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (theirs != symbol))
        # an insertion costs 1 more than the place to its left: a running minimum of value less place
        row = places + np.minimum.accumulate(np.concatenate([[number], changed]) - places)
    return int(row[-1])


def error_rate(ours: Sequence[Sequence[int]], reference: Sequence[Sequence[int]]) -> float:
    """Edits per 100 symbols of the references, over all samples; without symbols, 0 or 100."""
    edits = sum(edit_distance(a, b) for a, b in zip(ours, reference, strict=True))
    length = sum(len(each) for each in reference)
    return 100 * edits / length if length else 100.0 * bool(edits)
