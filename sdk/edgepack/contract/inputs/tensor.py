"""Tensor inputs: the app prepares the tensor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgepack.contract.inputs.kind import DType, InputKind, Shape, fitted, noise

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array


class TensorInput(InputKind):
    """A tensor that the app prepares itself."""

    kind: Literal["tensor"]
    shape: Shape
    """Batch dimension included; a name means a dimension of any size."""
    dtype: DType = "float32"
    """Element type of the tensor."""
    units: str = ""
    """Unit of the values, for people."""

    def from_array(self, value: Array, where: str) -> Array:
        return fitted(value, self.name, self.shape, self.dtype, where)

    def synthetic(self, draw: np.random.Generator) -> Array:
        return noise(self.shape, self.dtype, draw)
