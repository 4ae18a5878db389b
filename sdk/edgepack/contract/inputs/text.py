"""Text inputs: token ids, or the mask or types of tokens, padded to the length of the model's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from edgepack.contract.inputs.kind import InputKind, Shape, fitted, noise

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array


class TextInput(InputKind):
    """Text: one value per token. A model that also takes the mask or the types of tokens has an input of
    this kind for each of them."""

    kind: Literal["text"]
    shape: Shape
    """Batch dimension included; the last dimension is the position in the text."""
    dtype: Literal["int32", "int64", "float32"] = "int64"
    """Element type of the tensor; a mask may be in float32."""
    part: Literal["ids", "mask", "types"] = "ids"
    """`ids`: numbers of tokens. `mask`: 1 for tokens, 0 for padding. `types`: 0 for the first text, 1 for
    the second of a pair."""
    tokenizer: str = ""
    """Path of a `tokenizer.json` of the library tokenizers, for samples that are texts; one for all inputs.
    If not given, the app tokenizes."""
    special_tokens: bool = True
    """Whether the tokenizer adds its special tokens, such as [CLS] and [SEP]."""
    truncate: bool = True
    """Whether texts that are too long are cut; if not, they are refused."""
    pad_id: int = 0
    """The token id that fills the positions after a short text."""

    @model_validator(mode="after")
    def _consistent(self) -> TextInput:
        if self.dtype == "float32" and self.part != "mask":
            raise ValueError(f"dtype 'float32' goes with part 'mask', not '{self.part}'")
        return self

    @property
    def length(self) -> int | None:
        """Positions of the tensor; None if any number fits."""
        last = self.shape[-1]
        return last if isinstance(last, int) else None

    @property
    def padding(self) -> int:
        """The value after the last token."""
        return self.pad_id if self.part == "ids" else 0

    def from_array(self, value: Array, where: str) -> Array:
        return fitted(self._padded(value), self.name, self.shape, self.dtype, where)

    def _padded(self, value: Array) -> Array:
        """`value` with padding after a text that is shorter than the last dimension."""
        import numpy as np

        if self.length is None or not value.ndim or not 0 < value.shape[-1] < self.length:
            return value
        free = [(0, 0)] * (value.ndim - 1) + [(0, self.length - value.shape[-1])]
        return np.pad(value, free, constant_values=self.padding)

    def synthetic(self, draw: np.random.Generator) -> Array:
        """Token ids 0 and 1, a mask of 1, types of 0; the last quarter of the positions is padding."""
        tokens = noise(self.shape, "int64", draw)
        if self.part != "ids":
            tokens[:] = self.part == "mask"
        length = tokens.shape[-1]
        tokens[..., length - length // 4 :] = self.padding
        return tokens.astype(self.dtype)
