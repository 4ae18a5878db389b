"""The one flow on a trained network and real pictures, with every runtime for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack import bundle
from edgepack.report import Artifact, Report

ROOT = Path(__file__).resolve().parent.parent
FASHION = ROOT / "examples" / "fashion_mnist"
ALL_FORMATS = ROOT / "tests" / "data" / "all-formats.toml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report]]:
    """The example's network for a Raspberry Pi, and for a device of all formats, in one build."""
    out = tmp_path_factory.mktemp("built")
    reports = edgepack.build(str(FASHION), targets=["raspberry-pi-5", str(ALL_FORMATS)], out=str(out))
    return out, reports


def _only(report: Report, format_name: str, scheme: str, suffix: str) -> Artifact:
    (found,) = [
        each
        for each in report.artifacts
        if (each.format, each.scheme) == (format_name, scheme) and each.file.endswith(suffix)
    ]
    return found


def test_every_check_passes_on_the_example(built: tuple[Path, list[Report]]) -> None:
    _, reports = built
    assert [report.passed for report in reports] == [True, True]
    assert [report.target for report in reports] == ["raspberry-pi-5", "all-formats"]


@pytest.mark.parametrize(
    ("format_name", "suffix"),
    [("executorch", ".pte"), ("onnx", ".onnx"), ("onnx", ".ort"), ("torchscript", ".ptl")],
)
def test_int8_is_smaller_and_stays_close(
    built: tuple[Path, list[Report]], format_name: str, suffix: str
) -> None:
    report = built[1][1]
    quantized = _only(report, format_name, "w8a8", suffix)
    whole = _only(report, format_name, "fp32", suffix)
    assert quantized.bytes < 0.7 * whole.bytes
    held_against = _only(report, format_name, "fp32", ".onnx" if suffix == ".ort" else suffix)
    assert quantized.size_ratio == pytest.approx(quantized.bytes / held_against.bytes)
    assert quantized.bytes_gzip < quantized.bytes
    figures = quantized.figures
    assert figures.agreement is not None
    assert figures.agreement >= 98
    assert figures.sqnr_db is not None
    assert 20 < figures.sqnr_db < 60
    assert figures.accuracy_float is not None
    assert figures.accuracy is not None
    assert figures.accuracy_float > 90
    assert abs(figures.accuracy - figures.accuracy_float) < 1.0
    assert figures.latency_ratio is not None
    assert figures.latency_ratio > 0
    assert whole.figures.agreement == 100
    assert whole.figures.sqnr_db is None or whole.figures.sqnr_db > 100


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs on macOS")
def test_core_ml_is_written_and_its_check_skipped_with_the_reason(built: tuple[Path, list[Report]]) -> None:
    for scheme in ("p6", "w8", "fp16"):
        artifact = _only(built[1][1], "coreml", scheme, ".mlpackage")
        assert artifact.verdict == "skipped"
        assert "Core ML runs on macOS only" in [check.reason for check in artifact.checks]
        assert artifact.figures.agreement is None


def test_what_targets_share_is_exported_once(built: tuple[Path, list[Report]]) -> None:
    out, reports = built
    for suffix, format_name in ((".onnx", "onnx"), (".pte", "executorch")):
        pair = [_only(report, format_name, "w8a8", suffix) for report in reports]
        assert pair[0].export_seconds == pair[1].export_seconds
        files = [out / report.target / each.file for report, each in zip(reports, pair, strict=True)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_the_bundle_holds_what_the_manifest_says(built: tuple[Path, list[Report]]) -> None:
    folder = built[0] / "raspberry-pi-5"
    manifest = json.loads((folder / "bundle.json").read_text())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {*manifest["files"], "bundle.json"}
    assert bundle.damage(folder) == []
    assert manifest["passed"] is True
    assert manifest["made_by"]["torch"].startswith("2.13")
    assert set(manifest["artifacts"]) == {artifact.file for artifact in built[1][0].artifacts}
    assert not list(built[0].glob(".edgepack-*"))


def test_nothing_in_the_bundle_names_a_path_of_this_machine(built: tuple[Path, list[Report]]) -> None:
    words = [str(ROOT).encode(), str(built[0]).encode(), b"/site-packages"]
    for path in built[0].rglob("*"):
        if path.is_file():
            assert not [word for word in words if word in path.read_bytes()], path


def test_golden_vectors_are_the_float_models(built: tuple[Path, list[Report]]) -> None:
    folder = built[0] / "raspberry-pi-5" / "golden"
    inputs, outputs = np.load(folder / "inputs_0.npy"), np.load(folder / "outputs_0.npy")
    assert inputs.shape == (bundle.GOLDEN_SAMPLES, 1, 1, 28, 28)
    assert outputs.shape == (bundle.GOLDEN_SAMPLES, 1, 10)
    told = np.load(folder / "fashion_mnist-fp32.onnx.outputs_0.npy")
    np.testing.assert_allclose(told, outputs, rtol=1e-4, atol=1e-4)


def test_the_ort_file_comes_with_the_operators_it_needs(built: tuple[Path, list[Report]]) -> None:
    config = built[0] / "raspberry-pi-5" / "model" / "fashion_mnist-w8a8.required_operators.config"
    assert "QLinearConv" in config.read_text()


def test_a_bundle_checks_again(built: tuple[Path, list[Report]]) -> None:
    report = edgepack.check(built[0] / "raspberry-pi-5")
    assert report.passed
    names = {check.name for artifact in report.artifacts for check in artifact.checks}
    assert names == {"intact", "runs", "repeats"}


def test_a_changed_file_fails_the_check(built: tuple[Path, list[Report]], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    models = folder / "model"
    shutil.copyfile(models / "fashion_mnist-fp32.onnx", models / "fashion_mnist-w8a8.onnx")
    (models / "fashion_mnist-fp32.pte").write_bytes(b"no program")
    report = edgepack.check(folder)
    failed = {artifact.file for artifact in report.artifacts if artifact.verdict == "fail"}
    assert failed == {"model/fashion_mnist-w8a8.onnx", "model/fashion_mnist-fp32.pte"}


def test_outputs_that_no_longer_repeat_fail_the_check(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    told = folder / "golden" / "fashion_mnist-w8a8.onnx.outputs_0.npy"
    np.save(told, -np.load(told))
    checks = {a.file: {c.name: c.verdict for c in a.checks} for a in edgepack.check(folder).artifacts}
    assert checks["model/fashion_mnist-w8a8.onnx"]["repeats"] == "fail"
    assert checks["model/fashion_mnist-fp32.onnx"]["repeats"] == "pass"


def _app(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "app/main.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_app_repeats_the_golden_vectors_and_fails_on_others(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    assert built[1][0].app == "model/fashion_mnist-w8a8.onnx"
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    done = _app(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    told = folder / "golden" / "fashion_mnist-w8a8.onnx.outputs_0.npy"
    np.save(told, np.roll(np.load(told), 1, axis=-1))
    assert _app(folder, "--selftest").returncode == 1


def test_the_app_names_the_pictures(built: tuple[Path, list[Report]]) -> None:
    for name, label in (("bag", "Bag"), ("sneaker", "Sneaker"), ("trouser", "Trouser")):
        done = _app(built[0] / "raspberry-pi-5", str(FASHION / "pictures" / f"{name}.png"), "--top", "1")
        assert done.returncode == 0, done.stderr
        assert label in done.stdout
        assert "ms" in done.stdout


def test_a_gate_that_is_missed_is_a_verdict_and_the_bundle_is_still_written(tmp_path: Path) -> None:
    profile = tmp_path / "strict.toml"
    text = ALL_FORMATS.read_text().replace("min_sqnr_db = 15", "min_sqnr_db = 99")
    profile.write_text(text.replace("size_mb = 50", "size_mb = 0.08"))
    (report,) = edgepack.build(
        str(FASHION), targets=[str(profile)], formats=["onnx"], out=str(tmp_path / "out")
    )
    assert not report.passed
    quantized = _only(report, "onnx", "w8a8", ".onnx")
    assert [check.name for check in quantized.checks if check.verdict == "fail"] == ["sqnr"]
    whole = _only(report, "onnx", "fp32", ".onnx")
    assert [check.name for check in whole.checks if check.verdict == "fail"] == ["size"]
    assert (tmp_path / "out" / "strict" / "bundle.json").is_file()
    again = edgepack.check(tmp_path / "out" / "strict")
    assert not again.passed, "a bundle that failed when it was built does not pass later"


def test_a_new_build_takes_the_place_of_the_old_bundle(tmp_path: Path) -> None:
    for _ in range(2):
        edgepack.build(str(FASHION), targets=["jetson-nano"], out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["jetson-nano"]
    assert bundle.damage(tmp_path / "jetson-nano") == []


def test_without_samples_int8_falls_back_and_says_so(tmp_path: Path) -> None:
    shutil.copyfile(FASHION / "model.py", tmp_path / "other.py")
    (report,) = edgepack.build(
        f"{tmp_path / 'other.py'}:net",
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        weights=str(FASHION / "weights.safetensors"),
        inputs=["tensor:1x1x28x28"],
        out=str(tmp_path / "out"),
    )
    assert {artifact.scheme for artifact in report.artifacts} == {"fp32"}
    (left,) = [each for each in report.skipped if each.what == "onnx w8a8"]
    assert "falls back to fp32" in left.why
    assert any("noise" in note for note in report.notes)
