"""Delegates: what of a program they were given, told by the model's own lines, and the target's least."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from sources import Written

import edgepack
from edgepack import bundle, plan, resources
from edgepack.compress.counts import count
from edgepack.delegation import Delegate, Delegation, Outside
from edgepack.evaluate import checks
from edgepack.model import source
from edgepack.model.source import Source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.report import sentence
from edgepack.scheme import SchemeName

pytest.importorskip("executorch")

Writer = Callable[[str], Callable[[Source, Recipe], Written]]

NET = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    # XNNPACK takes the convolution and the linear layer, and nothing between and behind them
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 8)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = torch.cumsum(x, 2)  # line A
        x, _ = torch.topk(x.mean((2, 3), keepdim=True).flatten(1), 8)  # line B
        x = self.head(x)
        return F.conv1d(x[:, None], x[:, None, :3], padding=1)[:, 0]  # line C


def net():
    torch.manual_seed(0)
    return Net().eval()
"""
LINES = {line[-1]: number for number, line in enumerate(NET.splitlines(), 1) if "# line" in line}
SETTINGS = """
[model]
source = "net.py:net"
[input]
kind = "tensor"
shape = [1, 3, 16, 16]
[data]
calib = "calib.npz"
eval = "eval.npz"
[build]
targets = ["raspberry-pi-5"]
formats = ["executorch"]
"""
STEM, HEAD, LAST = 16 * 16 * 8 * 3 * 9, 8 * 8, 8 * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose net has operators that XNNPACK does not take."""
    made = tmp_path_factory.mktemp("parted")
    (made / "net.py").write_text(NET)
    (made / "edgepack.toml").write_text(SETTINGS)
    draw = np.random.default_rng(0)
    for name in ("calib", "eval"):
        np.savez(made / name, inputs=draw.standard_normal((40, 3, 16, 16)).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def parted(folder: Path) -> Source:
    """Its source."""
    choices = BuildOptions(model=str(folder), targets=("raspberry-pi-5",), out=str(folder / "out"))
    return source.load(plan.resolve(choices))


@pytest.mark.parametrize("scheme", ["fp32", "fp16", "w8a8", "w4d"])
def test_what_is_outside_is_told_by_the_model_s_own_lines(
    writer: Writer, parted: Source, scheme: SchemeName
) -> None:
    found = writer("executorch")(parted, Recipe(scheme)).exported.delegation
    assert found is not None
    (delegate,) = found.delegates
    assert delegate.name == "XnnpackBackend"
    assert delegate.parts > 1
    assert found.multiply_adds == STEM + HEAD + LAST
    assert delegate.multiply_adds == STEM + HEAD
    assert delegate.share_of_work == pytest.approx((STEM + HEAD) / (STEM + HEAD + LAST))
    lines = {each.operator: each.line for each in found.outside}
    assert lines["aten::cumsum"] == f"net.py:{LINES['A']}"
    assert lines["aten::topk"] == f"net.py:{LINES['B']}"
    assert lines["aten::convolution"] == f"net.py:{LINES['C']}"
    assert str(found.outside[0]) == f"aten::convolution at net.py:{LINES['C']}"
    assert found.operators == delegate.operators + sum(each.count for each in found.outside)
    assert delegate.share_of_operators == delegate.operators / found.operators


def test_what_the_file_holds_outside_is_what_was_left_outside(writer: Writer, parted: Source) -> None:
    written = writer("executorch")(parted, Recipe("fp32"))
    found = written.exported.delegation
    assert found is not None
    told = {name: count for name, count in written.holds.operators.items() if "::" in name}
    assert written.holds.outside == told
    of_the_file = sorted(name.split(".")[0] for name, number in told.items() for _ in range(number))
    assert of_the_file == sorted(each.operator for each in found.outside for _ in range(each.count))


@pytest.mark.parametrize("scheme", ["fp32", "w8a8"])
def test_a_net_that_is_delegated_whole(writer: Writer, fashion: Source, scheme: SchemeName) -> None:
    found = writer("executorch")(fashion, Recipe(scheme)).exported.delegation
    assert found is not None
    assert found.outside == ()
    assert fashion.module is not None
    assert found.multiply_adds == count(fashion.module, fashion.example).multiply_adds
    assert found.operators == 11 + 11 + 2, "convolutions, their ReLU, a mean and a linear layer"
    (delegate,) = found.delegates
    assert (delegate.parts, delegate.share_of_operators, delegate.share_of_work) == (1, 1, 1)


def test_other_formats_tell_of_no_delegates(writer: Writer, parted: Source) -> None:
    assert writer("onnx")(parted, Recipe("fp32")).exported.delegation is None


# The target's least, the report, and what inspect tells


def _target(folder: Path, least: float) -> Path:
    own = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")
    path = folder / "own.toml"
    path.write_text(own.replace('name = "executorch"', f'name = "executorch"\nmin_delegated = {least}'))
    return path


@pytest.fixture(scope="module")
def strict(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle for a target that wants all multiply-adds delegated."""
    out = tmp_path_factory.mktemp("strict")
    wanted = str(_target(out, 100))
    (report,) = edgepack.build(str(folder), targets=[wanted], scheme="fp32", out=str(out))
    assert not report.passed
    return out / "own"


def test_too_little_delegated_fails_the_build_and_names_what_is_outside(strict: Path) -> None:
    (artifact,) = bundle.open_bundle(strict)[0].artifacts
    assert artifact.verdict == "fail"
    (check,) = [each for each in artifact.checks if each.verdict == "fail"]
    assert (check.name, check.limit, check.unit) == ("delegated", 100, "% of multiply-adds")
    assert check.figure == pytest.approx(100 * (STEM + HEAD) / (STEM + HEAD + LAST))
    said = sentence(check)
    assert said.startswith("delegated 99.96 % of multiply-adds is under the limit of 100 (outside: ")
    assert f"aten::convolution at net.py:{LINES['C']}" in said


def test_the_report_tells_shares_and_lines(strict: Path) -> None:
    (artifact,) = json.loads((strict / "report.json").read_text())["artifacts"]
    (delegate,) = artifact["delegation"]["delegates"]
    assert delegate["share_of_work"] == pytest.approx((STEM + HEAD) / (STEM + HEAD + LAST))
    outside = {each["operator"]: each["line"] for each in artifact["delegation"]["outside"]}
    assert outside["aten::cumsum"] == f"net.py:{LINES['A']}"


def test_checked_again_it_fails_as_before(strict: Path, command: Command) -> None:
    ended = command("check", strict, "--verbose")
    assert ended.code == 10
    shown = " ".join(ended.out.split())
    assert "delegated 99.96 % of multiply-adds is under the limit of 100" in ended.out
    assert re.search(r"delegated \S+-fp32.pte: XnnpackBackend", shown)
    assert re.search(rf"outside \S+-fp32.pte: aten::convolution at net.py:{LINES['C']}", shown)


def test_inspect_tells_lines_of_a_file_in_its_bundle_and_kernels_of_any(
    strict: Path, tmp_path: Path, command: Command
) -> None:
    (model,) = (strict / "model").iterdir()
    there = edgepack.inspect(model)
    assert there.delegation is not None
    assert f"at net.py:{LINES['A']}" in command("inspect", model).out
    alone = tmp_path / model.name
    alone.write_bytes(model.read_bytes())
    told = edgepack.inspect(alone)
    assert told.delegation is None
    assert told.outside == there.outside
    assert told.outside["aten::cumsum"] == 1
    shown = command("inspect", alone).out
    assert "not delegated" in shown
    assert "aten::cumsum ×1" in shown
    assert "net.py" not in shown


def test_a_report_beside_another_file_is_not_believed(strict: Path, tmp_path: Path) -> None:
    copied = tmp_path / "bundle"
    shutil.copytree(strict, copied)
    (model,) = (copied / "model").iterdir()
    model.write_bytes(model.read_bytes() + b"\0")
    assert edgepack.inspect(model).delegation is None


# The nouns


def _delegation(*delegates: Delegate, adds: int = 200, outside: tuple[Outside, ...] = ()) -> Delegation:
    return Delegation(10, adds, delegates, outside)


def test_no_delegate_at_all_is_told() -> None:
    found = _delegation(outside=(Outside("aten::mm", "net.py:3", 10, 200),))
    assert str(found) == "nothing: the program runs without a delegate"
    check = checks.delegated(found, 50)
    assert (check.verdict, check.figure) == ("fail", 0)
    assert check.reason == "outside: aten::mm × 10 at net.py:3"


def test_where_nothing_multiplies_operators_count() -> None:
    found = _delegation(Delegate("XnnpackBackend", 1, 9, 0, 0.9, None), adds=0)
    assert found.share == (90.0, "% of operators")
    assert str(found) == "XnnpackBackend 90 % of operators"


def test_several_delegates_count_together() -> None:
    first = Delegate("CoreMLBackend", 2, 4, 100, 0.4, 0.5)
    found = _delegation(first, Delegate("XnnpackBackend", 1, 5, 50, 0.5, 0.25))
    assert checks.delegated(found, 75).verdict == "pass"
    assert checks.delegated(found, 75.1).verdict == "fail"
    assert str(found).startswith("CoreMLBackend 40 % of operators, 50 % of multiply-adds in 2 parts; Xnn")


def test_counted_instructions_are_told_and_go_again() -> None:
    first = Delegate("CoreMLBackend", 1, 4, 100, 0.4, 0.5)
    found = _delegation(first, Delegate("XnnpackBackend", 2, 5, 50, 0.5, 0.25))
    counted = found.counted(1000, {"XnnpackBackend": 250})
    assert str(counted).endswith("50 % of operators, 25 % of multiply-adds, 25 % of instructions in 2 parts")
    assert [each.instructions for each in counted.delegates] == [0, 250]
    assert counted.uncounted() == found


def test_only_the_largest_outside_are_named() -> None:
    many = tuple(Outside(f"aten::op{number}", "", 1, 0) for number in range(6))
    assert _delegation(outside=many).left == "aten::op0, aten::op1, aten::op2, aten::op3 and 2 more"
