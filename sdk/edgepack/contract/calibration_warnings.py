"""Warnings about calibration samples: what contradicts the contract, or makes measured ranges unreliable."""

from __future__ import annotations

import numpy as np

from edgepack.arrays import Array, Sample
from edgepack.contract.inputs import ImageInput
from edgepack.contract.samples import Samples
from edgepack.contract.schema import Contract

FEW = 32
"""With fewer calibration samples than this, ranges are rough."""
_ALIKE = 0.02
"""Share of the deviation of all values; samples that deviate less from each other are said to be alike."""
_CHECKED = 256
"""Samples that are checked, from the first on."""


def warnings(samples: Samples, contract: Contract) -> list[str]:
    """One sentence for everything that makes ranges measured on these samples doubtful."""
    found = []
    if len(samples) < FEW:
        found.append(f"only {len(samples)} calibration samples: ranges are rough; use {FEW} or more")
    rows = samples.inputs[:_CHECKED]
    are_equal = len(rows) > 1 and all(_same(row, rows[0]) for row in rows[1:])
    if are_equal:
        found.append("all calibration samples are equal: their ranges are those of one sample")
    for number, declared in enumerate(contract.inputs):
        values = [row[number] for row in rows]
        found += declared.warnings(values)
        if not are_equal:
            found += _alike(values, declared.name)
    return found


def blank(samples: Samples, contract: Contract) -> list[str]:
    """A sentence about images of one value, which are often unreadable ones that a decoder let pass."""
    found = []
    for number, declared in enumerate(contract.inputs):
        if isinstance(declared, ImageInput):
            count = sum(declared.is_blank(row[number]) for row in samples.inputs)
            if count:
                found.append(
                    f"{count} of the {len(samples)} images for '{declared.name}' ({samples.origin}) "
                    "have the same value in all pixels"
                )
    return found


def _alike(values: list[Array], name: str) -> list[str]:
    """A sentence if the samples of an input differ from each other by next to nothing.

    Compared are the mean deviation of an element from sample to sample, and the deviation of all values.
    Integers may well be equal in all samples: masks, types of tokens.
    """
    if len(values) < 2 or values[0].dtype.kind != "f" or len({value.shape for value in values}) > 1:
        return []
    stacked = np.stack(values).astype(np.float64)
    if (stacked == stacked[:1]).all():
        return [f"input '{name}' is the same in every calibration sample"]
    if not np.isfinite(stacked).all():  # infinite values have no deviation
        return []
    own = float(stacked.std(axis=0).mean())
    if own < _ALIKE * float(stacked.std()):
        return [
            f"the calibration samples of '{name}' hardly differ from each other "
            f"({own / float(stacked.std()):.2g} of their values' deviation): ranges need varied samples"
        ]
    return []


def _same(row: Sample, other: Sample) -> bool:
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(row, other))
