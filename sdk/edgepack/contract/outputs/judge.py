"""By which kind each output is judged: the declared one, or what an undeclared output turns out to be.

An undeclared output stays a tensor for apps; how it is judged is decided on the float model's outputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgepack.arrays import Array, Sample
from edgepack.contract.outputs import scores
from edgepack.contract.outputs.decisions import BINARY, MULTILABEL
from edgepack.contract.outputs.detection import DETECTION
from edgepack.contract.outputs.embedding import EMBEDDING
from edgepack.contract.outputs.integers import INTEGERS
from edgepack.contract.outputs.kind import OutputKind, Paired
from edgepack.contract.outputs.kinds import JUDGED
from edgepack.contract.outputs.output import Output
from edgepack.contract.outputs.regression import REGRESSION
from edgepack.contract.outputs.scores import SCORES
from edgepack.contract.outputs.tensor import TENSOR, VALUES

_UNIT = 1e-3
"""Largest difference from 1 of the length of a normalized vector."""
_SHORTEST = 8
"""Numbers of the shortest vector that counts as an embedding."""

_FEWEST = 8
"""Samples from which on the spread of an output [1, n] is known."""


@dataclass(frozen=True)
class Judged:
    """Outputs that are judged together, and how."""

    name: str
    """Of the first of these outputs."""
    kind: OutputKind
    places: tuple[int, ...]
    """Their numbers among the model's outputs: one, or those of boxes and scores."""
    takes_labels: bool = False
    """Whether the samples' labels are those of this output."""
    note: str = ""
    """What the user should know about the choice."""


def judged(
    declared: Sequence[Output],
    reference: Sequence[Sample],
    truth: Sequence[Sample] | None,
    *,
    is_noise: bool,
    state: Collection[str] = (),
) -> tuple[Judged, ...]:
    """How each output is judged, in order; labels go with the first one.

    `reference` are the float model's outputs, `truth` the labels of the samples; `is_noise` tells that the
    inputs are no real ones; outputs whose name is in `state` are carried from call to call.
    """
    found: list[Judged] = []
    for places in groups(declared):
        rows = [tuple(row[n] for n in places) for row in reference]
        labels = truth if not found else None
        found.append(_one(places, [declared[n] for n in places], rows, labels, is_noise, state))
    return tuple(found)


def recorded(declared: Sequence[Output], kinds: Sequence[str]) -> tuple[Judged, ...]:
    """How outputs were judged when a report recorded these `kinds`."""
    found = list(groups(declared))
    return tuple(
        Judged(declared[places[0]].name, JUDGED[kind], places)
        for places, kind in zip(found, kinds, strict=True)
    )


def groups(declared: Sequence[Output]) -> Iterator[tuple[int, ...]]:
    """The numbers of outputs that belong together: boxes and their scores; each other output is alone."""
    for n, output in enumerate(declared):
        if output.kind != DETECTION.name:
            yield (n,)
        elif output.box_format:
            yield (n, n + 1)


def _one(
    places: tuple[int, ...],
    declared: Sequence[Output],
    rows: Sequence[Sample],
    truth: Sequence[Sample] | None,
    is_noise: bool,
    state: Collection[str],
) -> Judged:
    first = declared[0]
    found = Judged(first.name, first.meaning, places)
    if first.name in state:
        found = replace(found, kind=INTEGERS if _is_integer(rows) else VALUES)
    elif first.meaning is TENSOR:
        found = _undeclared(found, rows, truth)
    if is_noise and found.kind in (TENSOR, REGRESSION, SCORES):
        return replace(found, kind=VALUES, note="")
    if found.kind in (TENSOR, REGRESSION) and rows[0][0].ndim <= 2 and len(rows) < _FEWEST:
        few = f"{len(rows)} samples do not show how much output '{found.name}' varies: SQNR alone judges it"
        return replace(found, kind=VALUES, note=few)
    if truth is None:
        return found
    reason = found.kind.unused_labels(Paired(declared, rows, rows, truth))
    if not reason:
        return replace(found, takes_labels=True)
    unused = f"the samples' labels are not used for output '{first.name}': {reason}"
    return replace(found, note="; ".join(filter(None, (found.note, unused))))


def _undeclared(found: Judged, rows: Sequence[Sample], truth: Sequence[Sample] | None) -> Judged:
    outputs = [row[0] for row in rows]
    if _is_integer(rows):
        return replace(found, kind=INTEGERS)
    kind = _by_labels(outputs, truth)
    if kind is not None:
        note = f"by the samples' labels, output '{found.name}' is judged as kind '{kind.name}'"
        return replace(found, kind=kind, note=note)
    if _are_unit_vectors(outputs):
        return replace(found, kind=EMBEDDING, note=_guessed(found, "an embedding (vectors of length 1)"))
    if scores.look_like_scores(outputs):
        return replace(found, kind=SCORES, note=_guessed(found, "scores of classes, so top answers count"))
    return found


def _guessed(found: Judged, what: str) -> str:
    return (
        f"output '{found.name}' looks like {what}; if it is something else, declare its kind under [output]"
    )


def _is_integer(rows: Sequence[Sample]) -> bool:
    return rows[0][0].dtype.kind in "iub"


def _by_labels(outputs: Sequence[Array], truth: Sequence[Sample] | None) -> OutputKind | None:
    """The kind that labels show: 0 and 1 for each number of an output [1, n], or a float for each."""
    first = outputs[0]
    if truth is None or first.ndim > 2 or any(len(row) != 1 or row[0].size != first.size for row in truth):
        return None
    if truth[0][0].dtype.kind == "f":
        return REGRESSION
    if all(np.isin(row[0], (0, 1)).all() for row in truth):
        return BINARY if first.size == 1 else MULTILABEL
    return REGRESSION if first.size == 1 else None


def _are_unit_vectors(outputs: Sequence[Array]) -> bool:
    first = outputs[0]
    if first.ndim != 2 or first.shape[0] != 1 or first.shape[1] < _SHORTEST or len(outputs) < 2:
        return False
    lengths = np.array([np.linalg.norm(row.astype(np.float64)) for row in outputs])
    return bool(np.abs(lengths - 1).max() < _UNIT)
