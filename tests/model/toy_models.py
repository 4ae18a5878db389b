"""Toy models for tests of `edgepack.model`: a Python file with good and bad ones, and what loads them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgepack import plan
from edgepack.errors import EdgepackError, SourceError
from edgepack.model import source
from edgepack.options import BuildOptions

NETS = """
import sys
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, classes)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.first(x))


class Wants(nn.Module):
    def __init__(self, classes):
        super().__init__()


class Group:
    class Inner(Net):
        pass


class Forward(nn.Module):
    answer = staticmethod(lambda x: x)

    def forward(self, x):
        return self.answer(x)


def forward(answer):
    def made():
        net = Forward()
        net.answer = answer
        return net
    return made


net = Net()
model = Net
number = 3
sequential = nn.Sequential(nn.Linear(8, 4), nn.ReLU())

def gives_three():
    return 3

def breaks():
    raise RuntimeError("no such backbone")

def quits():
    sys.exit("bye")


class Two(nn.Module):
    def forward(self, x, y):
        return {"sum": x + y, "parts": [x, (y * 2,)]}


class Picky(nn.Module):
    def forward(self, x):
        raise ValueError("I take images of cats only")


several = forward(lambda x: (x, x + 1, x * 2))
with_none = forward(lambda x: (x, None))
word = forward(lambda x: "cat")
nothing = forward(lambda x: ())
nan = forward(lambda x: x / 0 * 0)
infinite = forward(lambda x: (x, x.abs() / 0))
complex_ = forward(torch.fft.fft)
half = forward(lambda x: x.bfloat16())
sparse = forward(lambda x: x.to_sparse())
noisy = forward(lambda x: x + torch.rand_like(x))
branches = forward(lambda x: x if x.sum() > 0 else -x)
leaves = forward(lambda x: sys.exit(3))
grey = forward(lambda x: x.mean((2, 3)))
"""


def load(
    model: str = "nets.py:net", inputs: tuple[str, ...] = ("tensor:1x8",), **choices: Any
) -> source.Source:
    choices = {"targets": ("raspberry-pi-5",), "formats": ("onnx",), **choices}
    return source.load(plan.resolve(BuildOptions(model=model, inputs=inputs, **choices)))


def refused(kind: type[EdgepackError] = SourceError, **choices: Any) -> str:
    with pytest.raises(kind) as raised:
        load(**choices)
    return f"{raised.value}\n{raised.value.hint}"


def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder called `work` that contains nets.py."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "nets.py").write_text(NETS)
    monkeypatch.chdir(work)
    return work


class Net(nn.Module):
    """The network of nets.py, for files that tests write."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.drop(self.first(x))
        return out


def exported(path: Path, net: nn.Module, *args: torch.Tensor, **keys: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, args, **keys), path)


def scripted(path: Path, net: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        torch.jit.script(net).save(path)
