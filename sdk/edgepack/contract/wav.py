"""Audio files: a `.wav` file becomes samples of one channel, from -1 to 1, as CONTRACT.md says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read_wav(path: Path, rate: int) -> NDArray[np.float32]:
    """The samples of a `.wav` file (RIFF; PCM of 8, 16, 24 or 32 bits, or floats of 32), the mean of its
    channels. Its rate must be `rate`, in Hz: nothing is resampled.

    Raises OSError where it cannot be read, ValueError with a sentence where it is no such file.
    """
    chunks = dict(_chunks(path.read_bytes()))
    head = chunks.get(b"fmt ", b"")
    if len(head) < 16 or b"data" not in chunks:
        raise ValueError("it is no .wav file, or not a whole one")
    tag, channels, found, _, _, bits = struct.unpack("<HHIIHH", head[:16])
    if tag == _EXTENSIBLE and len(head) >= 26:
        tag = struct.unpack("<H", head[24:26])[0]  # the first bytes of the sub-format
    if found != rate:
        raise ValueError(f"it has {found} samples a second, and the model takes {rate}: resample it first")
    if not channels:
        raise ValueError("it has no channel")
    values = _values(chunks[b"data"], tag, bits)
    frames = len(values) // channels
    columns = values[: frames * channels].reshape(frames, channels).T
    return np.asarray(sum(columns) / channels, np.float32)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF file of kind WAVE, by name; none where it is no such file."""
    place = 12 if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else len(data)
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        yield name, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _values(data: bytes, tag: int, bits: int) -> NDArray[np.float64]:
    """All values in their order, channel by channel in turn, in double precision."""
    width = bits // 8
    if (tag, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)):
        raise ValueError(
            f"its samples are of format {tag} in {bits} bits; PCM and floats of 32 bits are read"
        )
    data = data[: len(data) // width * width]
    if tag == _FLOAT:
        return np.frombuffer(data, "<f4").astype(np.float64)
    if bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128.0) / 128.0
    # each in the highest bytes of 32 bits
    whole = np.zeros((len(data) // width, 4), np.uint8)
    whole[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return whole.view("<i4")[:, 0].astype(np.float64) / 2.0**31
