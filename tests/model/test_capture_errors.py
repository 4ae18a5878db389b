"""What cannot be captured is named with its line of the model and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_models import load, refused, work_folder

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return getattr(self, self.kind)(x)

    def scale(self, x):
        if x.max() > 50:
            x = x / 255
        return x

    def check(self, x):
        assert not torch.isnan(x).any(), "NaN"
        return x * 2

    def repeat(self, x):
        for _ in range(int(x.abs().sum()) % 3):
            x = x + 1
        return x

    def positives(self, x):
        return torch.nonzero(x < 1e9)[:, 1] * torch.masked_select(x, x < 1e9)

    def inner(self, x):
        return x[x < 1e9].sum()[None] + x

    def numbers(self, x):
        return torch.polar(x.abs(), x).sqrt().abs()

    def imports(self, x):
        return torch.from_numpy(x.numpy() * 2)

    def packed(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x[:, :, None], torch.tensor([2]), batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(packed)[0]


for kind in [name for name in vars(Net) if not name.startswith("_")]:
    globals()[kind] = Net(kind)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = work_folder(tmp_path, monkeypatch)
    (work / "values.py").write_text(NETS)
    return work


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        (
            "scale",
            "branches on a value of a tensor, which no file can do (values.py, line 15:",
            "torch.where",
        ),
        ("check", "branches on a value of a tensor, which no file can do (values.py, line 20", "torch.cond"),
        ("repeat", "a value of a tensor as a number, which no file can do (values.py, line 24:", "keep it a"),
        (
            "positives",
            "output 0 depends on values: aten.nonzero.default (values.py, line 12:",
            "topk",
        ),
        ("packed", "packs sequences by their lengths, which no file can do (values.py, line", "gather"),
        ("imports", "(values.py, line 38: return torch.from_numpy(x.numpy() * 2))", "torch.export"),
    ],
)
def test_the_line_is_named(name: str, words: str, hint: str) -> None:
    said = refused(model=f"values.py:{name}")
    assert words in said
    assert hint in said


def test_sizes_that_depend_on_values_inside_are_a_note() -> None:
    (note,) = [note for note in load("values.py:inner").notes if "size that depends on values" in note]
    assert note.startswith("aten.index.Tensor (values.py, line 12:")


def test_complex_numbers_are_a_note() -> None:
    (note,) = [note for note in load("values.py:numbers").notes if "complex numbers" in note]
    assert note.startswith("aten.polar.default (values.py, line 12:")
