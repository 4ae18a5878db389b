"""Capture: names of parameters and dynamic dimensions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from toy_models import load, work_folder

from edgepack.model import capture


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
