"""A bundle for an ARM board: its files run on the emulated board when it is built and when it is checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack import target, verify
from edgepack.contract import Contract, Output, TensorInput
from edgepack.contract.outputs import judge
from edgepack.emulator import arm
from edgepack.errors import BundleError
from edgepack.evaluate.device import Device
from edgepack.evaluate.model_file import Evaluation, ModelFile, Reference
from edgepack.progress import Steps
from edgepack.report import Check, Report

FASHION = Path(__file__).resolve().parent.parent.parent / "examples" / "fashion_mnist"


def _built(out: Path) -> Report:
    (report,) = edgepack.build(str(FASHION), targets=["raspberry-pi-5"], formats=["executorch"], out=str(out))
    return report


def test_a_device_that_counts_nothing_says_so_and_why(tmp_path: Path) -> None:
    pi, path = target.load("raspberry-pi-5"), tmp_path / "net.pte"
    if problem := arm.unsuited(pi, "executorch"):
        pytest.skip(problem)
    outputs = ((np.array([[1.0, 2.0]], np.float32),),)
    device = Device(
        target=pi,
        samples=tmp_path / "samples.npz",
        inputs=outputs,
        scratch=tmp_path,
        time_limit=1,
        steps=Steps(),
        absent="",
    )
    contract = Contract(inputs=(TensorInput(kind="tensor", shape=(1, 2)),), outputs=(Output(),))
    reference = Reference(
        outputs, outputs, contract, judge.judged(contract.outputs, outputs, None, is_noise=True)
    )
    device.ran[path] = arm.Run(outputs, None, "no C compiler", "a core", "a runtime", 0.1)
    found = device.evaluate(ModelFile(path, "executorch", "fp32"), Evaluation(), outputs, reference)
    (check,) = [check for check in found.checks if check.verdict == "skipped"]
    assert check.name == "device cost"
    assert check.reason.endswith("bytes alone decide: no C compiler")


@pytest.fixture(scope="module")
def built(users_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    if problem := arm.unsuited(target.load("raspberry-pi-5"), "executorch"):
        pytest.skip(problem)
    return _built(tmp_path_factory.mktemp("out"))


def _named(report: Report, name: str) -> list[Check]:
    return [check for each in report.artifacts for check in each.checks if check.name == name]


def test_a_build_runs_its_files_on_the_emulated_board(built: Report) -> None:
    assert [check.verdict for check in _named(built, "device runs")] == ["pass"]
    assert "cortex-a76" in _named(built, "device runs")[0].reason.lower()
    (agrees,) = _named(built, "device agrees")
    assert agrees.verdict == "pass"
    (artifact,) = built.artifacts
    assert artifact.scheme == "w8a8"
    if artifact.figures.cost is None:
        pytest.skip("this host's QEMU counts nothing")
    assert artifact.figures.cost.dot > 0
    assert artifact.figures.instructions_ratio is not None
    assert 0.2 < artifact.figures.instructions_ratio < 0.9, "int8 takes fewer instructions on this core"


def test_report_check_and_inspect_tell_the_delegates_instructions(built: Report) -> None:
    (artifact,) = built.artifacts
    if artifact.figures.cost is None:
        pytest.skip("this host's QEMU counts nothing")
    assert artifact.delegation is not None
    (delegate,) = artifact.delegation.delegates
    assert delegate.instructions is not None
    assert 0.9 < delegate.instructions / artifact.figures.cost.instructions < 1, "all but the runtime's own"
    assert " % of instructions" in str(artifact.delegation)
    (again,) = verify.check(Path(built.folder)).artifacts
    assert again.delegation == artifact.delegation, "counts repeat exactly"
    (without,) = verify.check(Path(built.folder), emulator=False).artifacts
    assert without.delegation == artifact.delegation.uncounted()
    told = edgepack.inspect(Path(built.folder) / artifact.file).delegation
    assert told == artifact.delegation


def test_a_check_runs_them_again_and_holds_the_cost_against_another_bundle(built: Report) -> None:
    again = verify.check(Path(built.folder))
    assert again.passed
    (now,), (then,) = again.artifacts, built.artifacts
    if now.figures.cost is None or then.figures.cost is None:
        pytest.skip("this host's QEMU counts nothing")
    assert now.figures.cost.instructions == then.figures.cost.instructions, "counts repeat exactly"
    same = verify.against(again, Path(built.folder), 0.5)
    assert [check.verdict for check in _named(same, "instructions")] == ["pass"]
    more = replace(now.figures.cost, instructions=round(now.figures.cost.instructions * 1.01))
    grown = replace(again, artifacts=(replace(now, figures=replace(now.figures, cost=more)),))
    held = verify.against(grown, Path(built.folder), 0.5)
    assert not held.passed
    (check,) = _named(held, "instructions")
    assert check.verdict == "fail"
    assert check.figure == pytest.approx(1.0, abs=0.01)
    assert verify.against(grown, Path(built.folder), 1.5).passed
    with pytest.raises(BundleError, match="is for raspberry-pi-5, this bundle for"):
        verify.against(replace(again, target="pixel-8"), Path(built.folder), 0.5)


def test_without_an_emulator_the_check_is_skipped_with_reason_and_command(
    built: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("EDGEPACK_OFFLINE", "1")
    again = verify.check(Path(built.folder))
    (skipped,) = _named(again, "device runs")
    assert skipped.verdict == "skipped"
    assert "EDGEPACK_OFFLINE is set" in skipped.reason
    assert "`edgepack emulator setup`" in skipped.reason
    (check,) = _named(verify.against(again, Path(built.folder), 0.5), "instructions")
    assert check.verdict == "skipped"
