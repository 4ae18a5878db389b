"""Text: a text becomes token ids, masks and types, as the contract says, by the model's own tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .contract import CONTRACT

if TYPE_CHECKING:
    from .contract import TextInput

TOKENIZER = Path(__file__).resolve().parent / "assets" / "tokenizer.json"
_INPUTS = [spec for spec in CONTRACT["inputs"] if spec["kind"] == "text"]
_NAMED = next((spec for spec in _INPUTS if spec["tokenizer"]), None)
READS = _NAMED is not None and len(_INPUTS) == len(CONTRACT["inputs"])
"""Whether the model takes texts and nothing else, and the build gave its tokenizer."""


class TextReader:
    """The tokenizer, loaded once."""

    def __init__(self) -> None:
        """Raises ValueError with a sentence where the tokenizer cannot be used."""
        assert _NAMED is not None
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ValueError("the package tokenizers is not installed: pip install tokenizers") from None
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(TOKENIZER))
        except Exception as problem:  # the library raises Exception itself
            raise ValueError(f"{TOKENIZER.name} cannot be read: {problem}") from problem
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        lengths = [spec["shape"][-1] for spec in _INPUTS]
        fixed = [length for length in lengths if isinstance(length, int)]
        if _NAMED["truncate"] and fixed:
            self._tokenizer.enable_truncation(min(fixed))

    def inputs(self, text: str) -> list[NDArray[Any]]:
        """The inputs for a text, in the contract's order. Raises ValueError where it is too long."""
        assert _NAMED is not None
        found = self._tokenizer.encode(text, add_special_tokens=_NAMED["special_tokens"])
        parts = {"ids": found.ids, "mask": found.attention_mask, "types": found.type_ids}
        return [_filled(np.asarray(parts[spec["part"]]), spec) for spec in _INPUTS]


def _filled(values: NDArray[Any], spec: TextInput) -> NDArray[Any]:
    """One value per token, filled up to the length of the input."""
    length = spec["shape"][-1]
    size = length if isinstance(length, int) else len(values)
    if len(values) > size:
        raise ValueError(f"the text has {len(values)} tokens, and the model takes {size}")
    whole = np.full(size, spec["pad_id"] if spec["part"] == "ids" else 0, spec["dtype"])
    whole[: len(values)] = values
    return whole.reshape([1] * (len(spec["shape"]) - 1) + [size])
