"""Models of other float types run and are captured in float32, and the user is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import load, work_folder

NETS = """
import torch
from torch import nn
from nets import Net


class Casts(Net):
    def __init__(self, cast):
        super().__init__()
        self.cast = cast

    def forward(self, x):
        return self.first(self.cast(x)).float()


def half():
    return Net().half()

def mixed():
    net = Casts(lambda x: x)
    net.first.bias.data = net.first.bias.data.to(torch.float64)
    return net.to(torch.bfloat16)

to_half = Casts(lambda x: x.half())
to_type = Casts(lambda x: x.type(torch.DoubleTensor))
to_name = Casts(lambda x: x.type("torch.HalfTensor"))
new = Casts(lambda x: x + torch.zeros(8, dtype=torch.bfloat16))
returned = Casts(lambda x: x)
returned.forward = lambda x: returned.first(x).bfloat16()


class Auto(Net):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)

auto = Auto()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = work_folder(tmp_path, monkeypatch)
    (work / "casting.py").write_text(NETS)
    return work


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("half", "the model's weights are float16: converted to float32"),
        ("mixed", "the model's weights are bfloat16"),
        ("to_half", "forward computes in float16: edgepack computes in float32 instead"),
        ("to_type", "forward computes in float64"),
        ("to_name", "forward computes in float16"),
        ("new", "forward computes in bfloat16"),
        ("returned", "forward computes in bfloat16"),
        ("auto", "forward computes in autocast"),
    ],
)
def test_other_float_types_become_float32(name: str, note: str) -> None:
    found = load(f"casting.py:{name}")
    assert any(each.startswith(note) for each in found.notes), found.notes
    nodes = [node for node in found.exported.graph.nodes if node.op == "call_function"]
    assert all(node.meta["val"].dtype == torch.float32 for node in nodes)
    assert all(weight.dtype == torch.float32 for weight in found.exported.state_dict.values())
    (output,) = found.exported.module()(*found.example)
    np.testing.assert_allclose(output.detach(), found.reference[0][0], rtol=1e-5, atol=1e-6)


def test_float32_models_get_no_note() -> None:
    assert not [note for note in load().notes if "float32" in note]
