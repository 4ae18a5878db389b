"""Hygiene of samples: what in them contradicts the contract, or cannot serve to calibrate."""

from __future__ import annotations

import numpy as np

from edgepack.arrays import Array
from edgepack.contract import Contract, ImageInput
from edgepack.contract.samples import Samples

FEW = 32
"""Fewer calibration samples than this are warned of."""
_SLACK = 1e-3
_LOOKED_AT = 256


def warnings(samples: Samples, contract: Contract) -> list[str]:
    """What the user should know of calibration samples before trusting ranges measured on them."""
    found = []
    if len(samples) < FEW:
        found.append(f"only {len(samples)} calibration samples: ranges are rough; {FEW} or more serve")
    rows = samples.inputs[:_LOOKED_AT]
    if len(rows) > 1 and all(_same(row, rows[0]) for row in rows[1:]):
        found.append("the calibration samples are all alike: their ranges are those of one sample")
    for number, each in enumerate(contract.inputs):
        values = [row[number] for row in rows]
        if isinstance(each, ImageInput):
            found += _of_pictures(values, each)
        elif values[0].dtype.kind == "f" and all(np.ptp(value) == 0 for value in values):
            found.append(f"input '{each.name}' is constant within every calibration sample")
    return found


def _same(row: tuple[Array, ...], other: tuple[Array, ...]) -> bool:
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(row, other))


def _of_pictures(values: list[Array], each: ImageInput) -> list[str]:
    """Values that no picture gives, and channels without content."""
    axis = 1 if each.layout == "NCHW" else 3
    scale, bias = (np.asarray(part) for part in each.per_channel())
    ends = np.stack([bias, bias + 255 * scale])
    low, high = ends.min(axis=0), ends.max(axis=0)
    flat = [np.moveaxis(value, axis, 0).reshape(each.depth, -1) for value in values]
    least = np.min([part.min(axis=1) for part in flat], axis=0)
    most = np.max([part.max(axis=1) for part in flat], axis=0)
    slack = _SLACK * (high - low)
    found = []
    if (least < low - slack).any() or (most > high + slack).any():
        found.append(
            f"calibration samples of '{each.name}' go from {least.min():.3g} to {most.max():.3g}, pictures "
            f"by the contract from {low.min():.3g} to {high.max():.3g}: are they prepared as the app will?"
        )
    constant = [n for n in range(each.depth) if least[n] == most[n]]
    if constant:
        numbers = ", ".join(str(n) for n in constant)
        found.append(f"channel {numbers} of '{each.name}' holds one value in all calibration samples")
    return found
