"""Audio inputs: samples of one channel, in windows of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgepack.contract.inputs.kind import InputKind, Shape, fitted, noise

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array


class AudioInput(InputKind):
    """Audio: samples of one channel at `sample_rate`, from -1 to 1."""

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

    def synthetic(self, draw: np.random.Generator) -> Array:
        return noise(self.shape, self.dtype, draw)
