"""Capture: names of parameters and dynamic dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_models import load, work_folder

from edgepack.errors import SourceError
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


def _scripted(part: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script: torch.jit.ScriptModule = torch.jit.script(part)
    return script


def _traced(part: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script: torch.jit.ScriptModule = torch.jit.trace(part.eval(), torch.randn(1, 3, 8, 8))
    return script


def _part() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


class Mixed(nn.Module):
    """A network with a part in TorchScript, as libraries of kernels and of detection have."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.parts: nn.ModuleList = nn.ModuleList([part])
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.parts[0](x).mean((2, 3))
        return {"scores": self.head(y), "features": y}


class Branches(Mixed):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.parts[0](x)
        return {"y": y * 2 if y.sum() > 0 else y}


@pytest.mark.parametrize("made", [_scripted, _traced], ids=["scripted", "traced"])
def test_a_part_in_torchscript_is_captured(made: Callable[[nn.Module], nn.Module]) -> None:
    net, sample = uncompiled(Mixed(made(_part())).eval()), np.ones((1, 3, 8, 8), np.float32)
    parts = net.get_submodule("parts")
    part = parts.get_submodule("0")
    program = capture.of_sample(FlatModel(net, Binding((0,))), (sample,))
    given = torch.from_numpy(sample)
    torch.testing.assert_close(program.module()(given), list(net(given).values()))
    assert "aten.conv2d.default" in {str(node.target) for node in program.graph.nodes}
    assert parts.get_submodule("0") is part, "the model itself is not changed"


def test_a_branch_beside_a_part_in_torchscript_is_refused() -> None:
    net = Branches(_scripted(_part())).eval()
    with pytest.raises(SourceError, match="branches on a value of a tensor"):
        capture.of_sample(FlatModel(net, Binding((0,))), (np.ones((1, 3, 8, 8), np.float32),))
