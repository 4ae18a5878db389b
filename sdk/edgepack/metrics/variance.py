"""Explained variance: the error of numbers relative to how much they vary, channel by channel.

The signal-to-noise ratio of raw values does not show whether an output says anything: the constant 300 is
40 dB away from 300 ± 3. R² (the coefficient of determination) compares the error with the spread about the
mean: 1 without error, 0 for the constant that is right on average.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepack.arrays import Array

_CONSTANT = 1e-6
"""A channel whose standard deviation is below this share of its root mean square is constant."""
_DIGITS = 6
"""R² is rounded to so many digits, below which sums in another order differ."""


def columns(rows: Sequence[Array]) -> NDArray[np.float64]:
    """Samples of one output as [positions, channels], in double precision.

    The channels of an output [1, n] or [n] are its n numbers. Of more dimensions, the shorter one of the
    second and the last has the channels: [1, time, features], [1, channels, H, W]. An output whose number
    of channels is not the same in all samples counts as one channel.
    """
    parts = [_with_channels_last(np.asarray(row, np.float64)) for row in rows]
    if len({part.shape[-1] for part in parts}) > 1:
        parts = [part.reshape(-1, 1) for part in parts]
    return np.concatenate(parts)


def _with_channels_last(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.ndim == 0:
        return values.reshape(1, 1)
    if values.ndim > 2 and values.shape[1] < values.shape[-1]:
        values = np.moveaxis(values, 1, -1)
    return values.reshape(-1, values.shape[-1])


def spreads(reference: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel of [positions, channels].

    A constant channel has its root mean square in place of the deviation, and one that is zero the largest
    deviation of all channels: its error is then judged relative to its own size, or to its neighbours'.
    """
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    size = np.sqrt(np.square(reference).mean(axis=0))
    deviation = np.where(deviation > _CONSTANT * size, deviation, size)
    return mean, np.where(deviation > 0, deviation, deviation.max(initial=0.0))


def explained(ours: Sequence[Array], reference: Sequence[Array]) -> NDArray[np.float64]:
    """R² of each channel of an output over all samples, from 0 to 1; 0 where it is negative or undefined."""
    theirs = columns(reference)
    values = columns([mine.reshape(row.shape) for mine, row in zip(ours, reference, strict=True)])
    _, deviation = spreads(theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.sqrt(np.square(values - theirs).mean(axis=0))
    ratio = np.divide(error, deviation, out=np.full_like(error, np.inf), where=deviation > 0)
    ratio = np.where(error == 0, 0.0, ratio)
    share = np.nan_to_num(1 - np.square(ratio), nan=0.0, neginf=0.0)
    return np.asarray(np.round(np.clip(share, 0.0, 1.0), _DIGITS))
