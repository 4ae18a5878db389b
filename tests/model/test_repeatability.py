"""Models whose outputs depend on more than their input: the cause is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_models import load, refused, work_folder

NETS = """
import torch
from torch import nn
from torch.nn import functional as F
from nets import Net


class Base(Net):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.register_buffer("cache", torch.zeros(1, 4))
        self.hidden = None
        self.history = []
        self.norm = nn.BatchNorm1d(1, track_running_stats=False)

    def forward(self, x):
        return getattr(self, self.kind)(self.first(x))

    def streams(self, y):
        self.cache.mul_(0.5).add_(y)
        return self.cache.clone()

    def remembers(self, y):
        self.hidden = y if self.hidden is None else self.hidden * 0.5 + y
        return self.hidden

    def collects(self, y):
        self.history.append(y)
        return torch.stack(self.history).mean(0)

    def counts(self, y):
        self.cache += 1
        return y

    def fills(self, y):
        self.cache[:, :4] = y
        return self.cache * 2

    def drops(self, y):
        return F.dropout(y, 0.3)

    def drops_on_purpose(self, y):
        self.drop.train()
        return self.drop(y)

    def draws(self, y):
        return y + torch.randn_like(y)

    def selects(self, y):
        return y[y > 0]

    def normalizes(self, y):
        return self.norm(y[:, None])[:, 0]


for kind in [name for name in vars(Base) if not name.startswith("_")]:
    globals()[kind] = Base(kind)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = work_folder(tmp_path, monkeypatch)
    (work / "changing.py").write_text(NETS)
    return work


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("streams", "forward rewrites 'cache'", "[[state]]"),
        ("remembers", "forward rewrites 'hidden'", "[[state]]"),
        ("collects", "forward rewrites 'history[", "[[state]]"),
        (
            "drops",
            "dropout is active (changing.py, line 41: return F.dropout(y, 0.3))",
            "training=self.training",
        ),
        ("drops_on_purpose", "dropout is active (changing.py, line 45", "train() is called in forward"),
        ("draws", "draws random numbers by aten.randn_like.default (changing.py, line 48", "an input"),
        ("selects", "the size of output 0 depends on values: [", 'kind = "detection"'),
    ],
)
def test_the_cause_is_named(name: str, words: str, hint: str) -> None:
    said = refused(model=f"changing.py:{name}")
    assert words in said
    assert hint in said
    assert ("dropout" in said) == name.startswith("drops")


@pytest.mark.parametrize("name", ["counts", "fills"])
def test_a_buffer_on_which_outputs_do_not_depend_is_a_note(name: str) -> None:
    found = load(f"changing.py:{name}")
    assert any(
        "forward rewrites buffer 'cache', but its outputs do not depend on that" in n for n in found.notes
    )
    (output,) = found.exported.module()(*found.example)
    assert torch.allclose(output, torch.from_numpy(found.reference[0][0]), atol=1e-6)


def test_batch_norm_without_running_statistics_is_a_note() -> None:
    notes = load("changing.py:normalizes").notes
    assert any(note.startswith("'norm' (BatchNorm1d) has no running statistics") for note in notes)
