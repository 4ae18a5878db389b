"""Capture: names of parameters and dynamic dimensions."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_models import load, work_folder

from edgepack.model import capture
from edgepack.model.binding import Binding
from edgepack.model.flat_model import FlatModel
from edgepack.model.uncompiled import uncompiled


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


def test_parameters_have_names_that_begin_with_a_letter() -> None:
    assert all(name[0].isalpha() for name in load("nets.py:sequential").exported.state_dict)


def test_free_dimensions_are_free() -> None:
    found = load(inputs=("tensor:Nx8",))
    (out,) = found.free.module()(torch.zeros(5, 8))
    assert out.shape == (5, 4)
    assert found.exported is not found.free
    fixed = load()
    assert fixed.exported is fixed.free


def test_reweighted_programs_share_the_graph_but_not_the_weights() -> None:
    program = capture.captured(nn.Linear(8, 4).eval(), (torch.zeros(1, 8),))
    state = {name: torch.zeros_like(value) for name, value in program.state_dict.items()}
    changed = capture.reweighted(program, state)
    assert not changed.module()(torch.ones(1, 8)).any()
    assert program.module()(torch.ones(1, 8)).any()
    state["weight"].fill_(1)
    assert not changed.module()(torch.ones(1, 8)).any(), "weights are copies"


class Mixed(nn.Module):
    """A network with a part in TorchScript, as libraries of kernels and of detection have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.part(x).mean((2, 3)))
        return answer


def test_a_part_in_torchscript_is_captured() -> None:
    net, sample = uncompiled(Mixed().eval()), np.ones((1, 3, 8, 8), np.float32)
    program = capture.of_sample(FlatModel(net, Binding((0,))), (sample,))
    given = torch.from_numpy(sample)
    (found,) = program.module()(given)
    torch.testing.assert_close(found, net(given))
    assert "aten.conv2d.default" in {str(node.target) for node in program.graph.nodes}
