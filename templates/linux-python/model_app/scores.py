"""Scores: what the model's output says, class by class."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from .contract import CONTRACT

_FIRST = CONTRACT["outputs"][0]
_ESCAPE, _PLAIN = re.compile(r"\\(.)"), {"n": "\n", "r": "\r"}
_UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that upset a terminal: controls, lone surrogates, line and paragraph ends."""


def activate(values: NDArray[Any], activation: str) -> NDArray[Any]:
    """`values` with the activation that the model leaves to the app; softmax is over the last axis."""
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    if activation == "sigmoid":
        # exp of a negative number only, so that nothing overflows
        powers = np.exp(-np.abs(values))
        return np.asarray(np.where(values >= 0, 1, powers) / (1 + powers))
    return values


def highest(outputs: list[NDArray[Any]]) -> float:
    """The highest score of the first output; not a number where it is the number of a class."""
    if _FIRST["kind"] == "class":
        return math.nan
    return float(activate(outputs[0], _FIRST["activation"]).max(initial=-np.inf))


def best(outputs: list[NDArray[Any]]) -> int | None:
    """The class that the first output tells, by scores or by its number; None where it tells none."""
    if _FIRST["kind"] == "class":
        return int(outputs[0].ravel()[0])
    return int(outputs[0].argmax()) if _FIRST["kind"] == "classification" else None


def top(values: NDArray[Any], count: int, least: float | None = None) -> list[tuple[int, float]]:
    """Class numbers and scores of one sample's `count` highest, best first; none below `least`."""
    flat = values.ravel()
    best = np.argsort(-flat, kind="stable")[:count]
    return [(int(n), float(flat[n])) for n in best if least is None or flat[n] >= least]


def shares(values: NDArray[Any]) -> list[tuple[int, float]]:
    """Of scores [1, classes, H, W]: the classes that are the best of some pixel, and the part of the
    pixels that they have, the largest first."""
    numbers, counts = np.unique(values[0].argmax(axis=0), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(numbers[n]), float(counts[n] / counts.sum())) for n in order]


def read_labels(path: Path) -> list[str]:
    """The class names in the file `path`, one a line, backslashes and line ends escaped.

    Raises OSError where it cannot be read.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_ESCAPE.sub(lambda found: _PLAIN.get(found[1], found[1]), line) for line in lines[:-1]]


def label(number: int, labels: list[str]) -> str:
    """What to show for a class."""
    return printable(labels[number]) if number < len(labels) else f"class {number}"


def printable(text: str) -> str:
    """`text` on one line, with what would upset a terminal escaped."""
    return "".join(ascii(char)[1:-1] if category(char) in _UNSAFE else char for char in text)
