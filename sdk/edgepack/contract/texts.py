"""Texts as samples: a `.txt` or `.jsonl` file becomes the inputs of a model, by the contract's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.arrays import Sample
from edgepack.contract.inputs import TextInput
from edgepack.contract.schema import Contract
from edgepack.errors import ExportError, SourceError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SUFFIXES = (".txt", ".jsonl")
TOKENIZER = "tokenizer.json"
"""Name of the tokenizer's file in a bundle."""


@dataclass(frozen=True)
class Text:
    """One sample: a text or a pair of texts, and its label in words; empty without one."""

    first: str
    second: str = ""
    label: str = ""


def read(path: Path) -> list[Text]:
    """The texts of a `.txt` file, one a line, or of a `.jsonl` file: objects with `text`, and where there are
    such, `text_pair` and `label`. Empty lines are left out.

    Raises SourceError if the file cannot be read as that.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise SourceError(f"{path} cannot be read: {cause}") from cause
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if path.suffix == ".txt":
        return [Text(line) for _, line in numbered]
    return [_of_json(line, f"{path}, line {number}") for number, line in numbered]


def _of_json(line: str, where: str) -> Text:
    try:
        found = json.loads(line)
    except ValueError as cause:
        raise SourceError(f"{where} is not JSON: {cause}") from cause
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise SourceError(f'{where} has no "text"', hint='write {"text": "…", "label": "…"} on each line')
    pair, label = found.get("text_pair", ""), found.get("label", "")
    if not isinstance(pair, str) or not isinstance(label, (str, int)) or isinstance(label, bool):
        raise SourceError(f"{where}: text_pair is a text, and label a class name or number")
    return Text(found["text"], pair, str(label))


def encoder(contract: Contract) -> Callable[[Text], Sample]:
    """What makes of a text the inputs of a model.

    Raises SourceError if the contract's inputs are no texts, or without a tokenizer that can be read;
    ExportError if the library is not installed.
    """
    inputs = [declared for declared in contract.inputs if isinstance(declared, TextInput)]
    named = next((each for each in inputs if each.tokenizer), None)
    if len(inputs) < len(contract.inputs) or named is None:
        raise SourceError(
            "samples that are texts need inputs of text with a tokenizer",
            hint='set kind = "text" and tokenizer = "tokenizer.json" under [input] in edgepack.toml',
        )
    tokenizer = _loaded(Path(named.tokenizer))

    def encoded(text: Text) -> Sample:
        found = tokenizer.encode(text.first, text.second or None, add_special_tokens=named.special_tokens)
        return tuple(_values(found, declared) for declared in inputs)

    _limit(tokenizer, named, inputs)
    return encoded


def _loaded(path: Path) -> Tokenizer:
    """The tokenizer, without the padding that its file may ask for: the contract says how long inputs are."""
    try:
        from tokenizers import Tokenizer
    except ImportError as cause:
        raise ExportError(
            "the library tokenizers is not installed", hint="pip install 'edgepack[text]'"
        ) from cause
    if not path.is_file():
        raise SourceError(
            f"there is no tokenizer at {path}", hint="it is the file tokenizer.json of the model"
        )
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as cause:  # the library raises Exception itself
        raise SourceError(f"{path} cannot be read as a tokenizer: {cause}") from cause
    found.no_padding()
    found.no_truncation()
    return found


def _limit(tokenizer: Tokenizer, named: TextInput, inputs: list[TextInput]) -> None:
    """Cut texts at the shortest input, special tokens included."""
    lengths = [each.length for each in inputs if each.length is not None]
    if not named.truncate or not lengths:
        return
    special = tokenizer.num_special_tokens_to_add(is_pair=True) if named.special_tokens else 0
    if min(lengths) <= special:
        raise SourceError(f"{min(lengths)} positions are too few: special tokens alone take {special}")
    tokenizer.enable_truncation(min(lengths))


def _values(found: Encoding, declared: TextInput) -> np.ndarray[Any, np.dtype[Any]]:
    parts = {"ids": found.ids, "mask": found.attention_mask, "types": found.type_ids}
    values = np.asarray(parts[declared.part]).astype(declared.dtype)
    length = declared.length
    if length is not None and len(values) > length:
        raise SourceError(
            f"a text has {len(values)} tokens, and input '{declared.name}' {length} positions",
            hint="set truncate = true under [input] to cut texts",
        )
    shape = [1] * (len(declared.shape) - 1)
    return declared.from_array(values.reshape(*shape, -1), "a text")


def detached(contract: Contract) -> tuple[Contract, Path | None]:
    """The contract as a bundle has it, whose tokenizer is a file beside it, and that file on this machine."""
    paths = [each.tokenizer for each in _texts(contract) if each.tokenizer]
    if not paths:
        return contract, None
    inputs = tuple(
        each.model_copy(update={"tokenizer": TOKENIZER}) if isinstance(each, TextInput) else each
        for each in contract.inputs
    )
    return contract.model_copy(update={"inputs": inputs}), Path(paths[0])


def _texts(contract: Contract) -> Iterator[TextInput]:
    return (each for each in contract.inputs if isinstance(each, TextInput))
