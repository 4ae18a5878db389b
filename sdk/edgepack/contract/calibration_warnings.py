"""Warnings about calibration samples: what contradicts the contract, or makes measured ranges unreliable."""

from __future__ import annotations

import numpy as np

from edgepack.arrays import Sample
from edgepack.contract.samples import Samples
from edgepack.contract.schema import Contract

FEW = 32
"""With fewer calibration samples than this, ranges are rough."""
_CHECKED = 256
"""Samples that are checked, from the first on."""


def warnings(samples: Samples, contract: Contract) -> list[str]:
    """One sentence for everything that makes ranges measured on these samples doubtful."""
    found = []
    if len(samples) < FEW:
        found.append(f"only {len(samples)} calibration samples: ranges are rough; use {FEW} or more")
    rows = samples.inputs[:_CHECKED]
    if len(rows) > 1 and all(_same(row, rows[0]) for row in rows[1:]):
        found.append("all calibration samples are equal: their ranges are those of one sample")
    for number, declared in enumerate(contract.inputs):
        found += declared.warnings([row[number] for row in rows])
    return found


def _same(row: Sample, other: Sample) -> bool:
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(row, other))
