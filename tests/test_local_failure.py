"""A failure is local: a format that cannot carry the model is a row, and the others are built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Ended
from test_bad_input import EXPORT, NETS, PI

from edgepack import formats
from edgepack.errors import CHECK_FAILED, ExportError
from edgepack.formats import LoadedFormat
from edgepack.recipe import Recipe
from edgepack.target import Target

BOTH = PI.replace('name = "executorch"', 'name = "torchscript"')
"""ONNX, which cannot carry the singular values of `Block`, and TorchScript, which can."""
ONLY_ONNX = re.sub(r'\[\[formats]]\nname = "executorch"\n.*\n', "", PI)


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "both.toml").write_text(BOTH)
    (tmp_path / "only.toml").write_text(ONLY_ONNX)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _build(command: Command, *more: str, targets: tuple[str, ...] = ("both.toml",)) -> Ended:
    chosen = [word for name in targets for word in ("--target", name)]
    return command("build", "nets.py:Block", "--input", "tensor:1x8", "--out", "out", *chosen, *more)


def test_the_other_formats_are_built(nets: Path, command: Command) -> None:
    ended = _build(command)
    assert ended.code == CHECK_FAILED, ended.err
    folder = nets / "out" / "both"
    assert [path.suffix for path in (folder / "model").iterdir()] == [".ptl"]
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"] is False
    (refusal,) = report["refusals"]
    line = NETS.splitlines().index("        return torch.linalg.svdvals(x)  # torch alone has it") + 1
    assert (refusal["format"], refusal["scheme"]) == ("onnx", "fp32")
    for words in ("cannot carry operator aten.", "svd", "in module 'block.1'", f"nets.py, line {line})"):
        assert words in refusal["why"]
    assert re.search(r"^  \(onnx\) +fp32 +refused$", ended.out, re.MULTILINE)
    assert refusal["why"] in ended.out
    assert "1 of 2 formats could not be written" in ended.out
    checked = command("check", folder)
    assert checked.code == 0, checked.err
    assert "onnx was not written: onnx cannot carry operator" in checked.out


def test_the_other_targets_are_built_and_a_bundle_without_a_file_says_why(
    nets: Path, command: Command
) -> None:
    ended = _build(command, targets=("only.toml", "both.toml"))
    assert ended.code == CHECK_FAILED, ended.err
    assert json.loads((nets / "out" / "only" / "report.json").read_text())["artifacts"] == []
    assert "no file that linux-python can run was written" in ended.out
    assert command("check", nets / "out" / "only").code == 0


def test_nothing_is_written_where_no_format_can_carry_the_model(nets: Path, command: Command) -> None:
    ended = _build(command, targets=("only.toml",))
    assert ended.code == EXPORT
    said = ended.sentence()
    assert "onnx cannot carry operator" in said
    assert "no format of the given targets can carry the model" in said
    assert not (nets / "out").exists()


def test_a_format_asked_for_by_name_must_be_written(nets: Path, command: Command) -> None:
    ended = _build(command, "--format", "onnx", "--format", "torchscript")
    assert ended.code == EXPORT
    assert "onnx cannot carry operator" in ended.sentence()
    assert not (nets / "out").exists()


class _Failing:
    """A format whose toolchain fails, as none of edgepack's own errors."""

    SUFFIX = ".bin"

    def __init__(self, cause: Exception) -> None:
        self._cause = cause

    def export(self, *_: object) -> None:
        raise self._cause

    def describe(self, _: Path) -> None:
        raise self._cause


@pytest.mark.parametrize("cause", [KeyError("position_ids"), RecursionError("too deep"), StopIteration()])
def test_whatever_a_toolchain_raises_is_a_refusal(
    cause: Exception, woven: Any, raspberry_pi: Target, tmp_path: Path
) -> None:
    failing: Any = _Failing(cause)
    with pytest.raises(ExportError, match=f"failing cannot write the model: {type(cause).__name__}"):
        LoadedFormat("failing", failing).export(woven, Recipe("fp32"), raspberry_pi, tmp_path / "a.bin")


def test_a_full_disk_is_no_refusal(woven: Any, raspberry_pi: Target, tmp_path: Path) -> None:
    failing: Any = _Failing(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        LoadedFormat("failing", failing).export(woven, Recipe("fp32"), raspberry_pi, tmp_path / "a.bin")


@pytest.fixture
def raspberry_pi() -> Target:
    return formats.load_target("raspberry-pi-5")
