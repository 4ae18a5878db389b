"""Text inputs: token ids, padded to the length of the model's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgepack.contract.inputs.kind import InputKind, Shape, fitted, noise

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array


class TextInput(InputKind):
    """Text: token ids from the app's tokenizer."""

    kind: Literal["text"]
    shape: Shape
    """Batch dimension included; the last dimension is the position in the text."""
    dtype: Literal["int32", "int64"] = "int64"
    """Element type of the tensor."""
    pad_id: int = 0
    """The token id that fills the positions after a short text."""

    def from_array(self, value: Array, where: str) -> Array:
        return fitted(self._padded(value), self.name, self.shape, self.dtype, where)

    def _padded(self, value: Array) -> Array:
        """`value` with `pad_id` after a text that is shorter than the last dimension."""
        import numpy as np

        length = self.shape[-1]
        if isinstance(length, str) or not value.ndim or not 0 < value.shape[-1] < length:
            return value
        free = [(0, 0)] * (value.ndim - 1) + [(0, length - value.shape[-1])]
        return np.pad(value, free, constant_values=self.pad_id)

    def synthetic(self, draw: np.random.Generator) -> Array:
        """Token ids 0 and 1; the last quarter of the positions is padding."""
        tokens = noise(self.shape, self.dtype, draw)
        length = tokens.shape[-1]
        tokens[..., length - length // 4 :] = self.pad_id
        return tokens
