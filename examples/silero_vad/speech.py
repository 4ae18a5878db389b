"""Speech for calibration and evaluation: two readers of a book, in frames as a recorder delivers them."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

_CONTEXT, _NEW = 64, 512
_KEEP = 4  # every fourth frame is used: neighboring frames are similar

Floats = NDArray[np.float32]


def sound(content: bytes) -> Floats:
    """Samples, -1 to 1, of a WAV file with 16 kHz, 16 bits, one channel. Raises SystemExit for others."""
    with wave.open(io.BytesIO(content)) as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (16000, 2, 1):
            raise SystemExit(f"a WAV file of another form: {file.getparams()}")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)


def calls(net: torch.nn.Module, heard: Floats) -> Iterator[tuple[Floats, Floats]]:
    """The inputs of the network for each call: the frame [1, 576] and the state [2, 1, 128]."""
    state, context = torch.zeros(2, 1, 128), np.zeros(_CONTEXT, np.float32)
    for begin in range(0, len(heard) - _NEW + 1, _NEW):
        piece = np.concatenate([context, heard[begin : begin + _NEW]])[None]
        yield piece, state.numpy()
        context = piece[0, -_CONTEXT:]
        with torch.no_grad():
            _, state = net(torch.from_numpy(piece), state)


def samples(net: torch.nn.Module, recordings: list[Floats]) -> dict[str, Floats]:
    """The arrays of an ``.npz`` with samples of two inputs."""
    kept = [each for heard in recordings for each in list(calls(net, heard))[::_KEEP]]
    return {f"inputs_{i}": np.stack([call[i] for call in kept]) for i in range(2)}
