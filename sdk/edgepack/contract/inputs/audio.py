"""Audio inputs: samples of one channel, in windows of a stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgepack.contract.inputs.kind import InputKind, Shape, fitted, noise

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array


_MOST = 16
"""Calls of one recording that become samples, evenly spread over it."""


class AudioInput(InputKind):
    """Audio: samples of one channel at `sample_rate`, from -1 to 1."""

    suffixes: ClassVar[frozenset[str]] = frozenset({".wav"})

    kind: Literal["audio"]
    sample_rate: Annotated[int, Field(ge=1)]
    """Samples per second, in Hz."""
    shape: Shape
    """Batch dimension included; the last dimension is time, in samples."""
    hop: Annotated[int, Field(ge=1)] | None = None
    """New samples per call. The rest of the last dimension, before them, holds the samples of earlier
    calls, zeros at first. If not given, all samples are new."""
    dtype: Literal["float32"] = "float32"
    """Element type of the tensor."""

    @model_validator(mode="after")
    def _consistent(self) -> AudioInput:
        length = self.shape[-1]
        if self.hop is not None and (isinstance(length, str) or self.hop > length):
            raise ValueError(f"hop = {self.hop} does not fit into {length} samples")
        return self

    def from_array(self, value: Array, where: str) -> Array:
        return fitted(value, self.name, self.shape, self.dtype, where)

    def read_samples(self, path: Path) -> list[Array]:
        """The tensors of calls on a recording, as an app makes them: at most 16, evenly spread.

        If the time dimension has a name, the whole recording is one call. Raises ValueError if the file is
        no such recording, or has another sample rate.
        """
        import numpy as np

        from edgepack.contract import wav

        sound = wav.read_wav(path, self.sample_rate)
        if not len(sound):
            raise ValueError("there is no sound in it")
        length, others = self.shape[-1], [1] * (len(self.shape) - 1)
        size = len(sound) if isinstance(length, str) else length
        hop = self.hop or size
        calls = -(-len(sound) // hop)
        whole = np.zeros(size + (calls - 1) * hop, np.float32)
        whole[size - hop : size - hop + len(sound)] = sound
        chosen = np.unique(np.linspace(0, calls - 1, min(calls, _MOST)).round().astype(int))
        starts = [int(call) * hop for call in chosen]
        return [whole[first : first + size].reshape(*others, size).copy() for first in starts]

    def synthetic(self, draw: np.random.Generator) -> Array:
        return noise(self.shape, self.dtype, draw)
