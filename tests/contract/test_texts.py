"""Texts as samples, and an app that takes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.contract import Contract, Output, TextInput, samples
from edgepack.errors import EdgepackError, SourceError

pytest.importorskip("tokenizers")
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "apple", "leaf", "is", "the")
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 2)
        self.words.weight.data.zero_()
        self.words.weight.data[4, 0] = 1
        self.words.weight.data[5, 1] = 1

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).float()
        return (self.words(input_ids) * mask).sum(1) / mask.sum(1)

def net():
    return Net()
"""
SETTINGS = """
[model]
source = "net.py:net"
[[input]]
kind = "text"
name = "attention_mask"
part = "mask"
shape = [1, 6]
[[input]]
kind = "text"
name = "input_ids"
shape = [1, 6]
tokenizer = "words.json"
[output]
kind = "classification"
labels = ["red", "green"]
[data]
calib = "texts.txt"
eval = "texts.jsonl"
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
"""


def write_tokenizer(path: Path) -> None:
    """A tokenizer of `WORDS` with [CLS] and [SEP]; its own file asks for padding and truncation to 4."""
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer: Any = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_padding(length=4)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(path))


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    write_tokenizer(tmp_path / "words.json")
    return _contract(tokenizer=str(tmp_path / "words.json"))


def _contract(length: int | str = 6, **keys: object) -> Contract:
    parts: tuple[dict[str, object], ...] = ({"part": "ids", **keys}, {"part": "mask"}, {"part": "types"})
    inputs = tuple(
        TextInput.model_validate({"kind": "text", "name": each["part"], "shape": [1, length], **each})
        for each in parts
    )
    labels = ("red", "green")
    return Contract(inputs=inputs, outputs=(Output(kind="classification", labels=labels),))


def _rows(folder: Path, contract: Contract, name: str, content: str) -> list[list[list[int]]]:
    (folder / name).write_text(content, encoding="utf-8")
    found = samples.load(str(folder / name), contract, with_labels=True)
    return [[array[0].tolist() for array in row] for row in found.inputs]


def test_a_line_is_a_text_and_is_filled_up_to_the_length(contract: Contract, tmp_path: Path) -> None:
    rows = _rows(tmp_path, contract, "a.txt", "\ufeffthe apple\n\n is red blue\n")
    assert rows[0] == [[2, 9, 6, 3, 0, 0], [1, 1, 1, 1, 0, 0], [0] * 6]
    assert rows[1] == [[2, 8, 4, 1, 3, 0], [1, 1, 1, 1, 1, 0], [0] * 6]


def test_a_long_text_is_cut_with_its_special_tokens(contract: Contract, tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, contract, "a.txt", "the apple is red is red is red")
    assert row[0] == [2, 9, 6, 8, 4, 3]


def test_pairs_have_types_and_labels_are_names(contract: Contract, tmp_path: Path) -> None:
    lines = '{"text": "red", "text_pair": "leaf", "label": "green"}\n{"text": "red", "label": 0}\n'
    first, second = _rows(tmp_path, contract, "a.jsonl", lines)
    assert first == [[2, 4, 3, 7, 3, 0], [1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0]]
    assert second[2] == [0] * 6
    found = samples.load(str(tmp_path / "a.jsonl"), contract, with_labels=True)
    assert (found.labels, found.origin) == ((1, 0), "2 texts of a.jsonl")


def test_without_special_tokens_and_with_any_length(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "words.json")
    free = _contract("length", tokenizer=str(tmp_path / "words.json"), special_tokens=False)
    rows = _rows(tmp_path, free, "a.txt", "red\nthe leaf is green is green\n")
    assert [row[0] for row in rows] == [[4], [9, 7, 8, 5, 8, 5]]


@pytest.mark.parametrize(
    ("name", "content", "keys", "words"),
    [
        ("a.txt", "the apple is red is red", {"truncate": False}, "a text has 8 tokens"),
        ("a.txt", "\n", {}, "holds no samples"),
        ("a.jsonl", "red", {}, "line 1 is not JSON"),
        ("a.jsonl", '\n{"label": 1}', {}, 'line 2 has no "text"'),
        ("a.jsonl", '{"text": "a", "label": "blue"}', {}, "'blue' is not among the model's 2 labels"),
        ("a.jsonl", '{"text": "a", "label": [1]}', {}, "label a class name or number"),
        ("a.txt", "red", {"tokenizer": "gone.json"}, "there is no tokenizer at gone.json"),
        ("a.txt", "red", {"tokenizer": ""}, "need inputs of text with a tokenizer"),
    ],
)
def test_texts_that_cannot_be_used(
    contract: Contract, tmp_path: Path, name: str, content: str, keys: dict[str, object], words: str
) -> None:
    changed = _contract(6, **{"tokenizer": str(tmp_path / "words.json"), **keys})
    with pytest.raises(SourceError, match=words):
        _rows(tmp_path, changed, name, content)


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text("{}")
    with pytest.raises(SourceError, match="cannot be read as a tokenizer"):
        _rows(tmp_path, _contract(tokenizer=str(tmp_path / "words.json")), "a.txt", "red")


def test_without_the_library_the_extra_is_named(
    contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EdgepackError) as caught:
        _rows(tmp_path, contract, "a.txt", "red")
    assert "edgepack[text]" in caught.value.hint


def test_an_app_answers_texts_and_the_bundle_has_the_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "edgepack.toml").write_text(SETTINGS)
    write_tokenizer(tmp_path / "words.json")
    (tmp_path / "texts.txt").write_text("the apple is red\nthe leaf is green\n" * 4)
    lines = ['{"text": "the apple is red", "label": "red"}', '{"text": "green leaf", "label": "green"}']
    (tmp_path / "texts.jsonl").write_text("\n".join(lines * 4))
    (report,) = edgepack.build(str(tmp_path), scheme="fp32", emulator=False, out=str(tmp_path / "out"))
    folder = tmp_path / "out" / "raspberry-pi-5"
    assert report.artifacts[0].figures.accuracy == 100
    assert (folder / "tokenizer.json").read_bytes() == (tmp_path / "words.json").read_bytes()
    contract = (folder / "contract.json").read_text()
    assert '"tokenizer.json"' in contract
    assert str(tmp_path) not in contract
    (app,) = (path.parent for path in (folder / "app").glob("*/main.py"))
    assert "tokenizers" in (folder / "app" / "pyproject.toml").read_text()
    shutil.copyfile(tmp_path / "texts.txt", folder / "app" / "in.txt")
    done = subprocess.run(
        [sys.executable, "-m", app.name, "in.txt", "--top", "1", "--text", "green green"],
        cwd=folder / "app",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    answers = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert answers == ["red", "green"] * 4 + ["green"]
    assert "in.txt, line 2: " in done.stdout
    assert edgepack.check(folder, emulator=False).passed


def test_noise_has_a_mask_of_ones_and_padding(contract: Contract) -> None:
    ids, mask, types = samples.synthetic(contract, 1).inputs[0]
    assert set(np.unique(ids)) <= {0, 1}
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0]]
    assert not types.any()
