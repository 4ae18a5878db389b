"""The one flow on a trained network and real pictures, with every runtime for real."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ALL_FORMATS, FASHION, ROOT, Command
from test_report import artifact as an_artifact

import edgepack
from edgepack import bundle, formats, metrics, recipe
from edgepack.evaluate.verdict import no_gain
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Figures, Report

PIS = ("raspberry-pi-5", "raspberry-pi-4")
PHONES = ("pixel-8", "galaxy-s23")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report]]:
    """The example's network in int8 for a Raspberry Pi, and for a device of all formats, in one build."""
    out = tmp_path_factory.mktemp("built")
    targets = ["raspberry-pi-5", str(ALL_FORMATS)]
    return out, edgepack.build(str(FASHION), targets=targets, scheme="w8a8", out=str(out))


@pytest.fixture(scope="module")
def four(small_fashion: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report]]:
    """The same network for four devices, by default."""
    out = tmp_path_factory.mktemp("four")
    names = ("onnx", "executorch")
    return out, edgepack.build(str(small_fashion), targets=[*PIS, *PHONES], formats=names, out=str(out))


def _only(report: Report, format_name: str, scheme: str, suffix: str) -> Artifact:
    """The file of a scheme among all that were tried."""
    (found,) = [
        each.artifact
        for each in report.tried
        if (each.artifact.format, each.artifact.scheme) == (format_name, scheme)
        and each.artifact.file.endswith(suffix)
    ]
    return found


def _failed(report: Report) -> set[tuple[str, str]]:
    return {
        (each.scheme, check.name)
        for each in report.artifacts
        for check in each.checks
        if check.verdict == "fail"
    }


def test_every_check_passes_on_the_example(built: tuple[Path, list[Report]]) -> None:
    _, reports = built
    assert [report.passed for report in reports] == [True, True]
    assert [report.target for report in reports] == ["raspberry-pi-5", "all-formats"]
    assert {each.scheme for report in reports for each in report.artifacts} == {"w8a8"}


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
    timed = suffix != ".ptl" or platform.machine() == "aarch64"
    assert (figures.latency_ratio is not None) == timed, "only where its kernels are the device's"
    assert whole.figures.agreement == 100
    assert whole.figures.sqnr_db is None or whole.figures.sqnr_db > 100


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs on macOS")
def test_core_ml_is_written_and_evaluated_with_the_reason(built: tuple[Path, list[Report]]) -> None:
    artifact = _only(built[1][1], "coreml", "w8a8", ".mlpackage")
    assert artifact.verdict == "evaluated"
    (runs,) = [check for check in artifact.checks if check.name == "runs"]
    assert runs.reason.startswith("Core ML runs on macOS only; evaluated in torch")
    assert artifact.figures.agreement is not None
    assert artifact.figures.agreement > 95
    assert artifact.figures.latency_ratio is None
    assert artifact.figures.memory_mb is None


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs on macOS")
def test_core_ml_schemes_are_judged_by_the_written_program(careful: Report) -> None:
    artifact = _only(careful, "coreml", "p6", ".mlpackage")
    (runs,) = [check for check in artifact.checks if check.name == "runs"]
    assert (runs.verdict, "evaluated" in runs.reason) == ("evaluated", True)
    assert artifact.figures.sqnr_db is not None
    assert 15 < artifact.figures.sqnr_db < 50
    whole = _only(careful, "coreml", "fp16", ".mlpackage")
    assert whole.figures.sqnr_db is not None
    assert 45 < whole.figures.sqnr_db < 60, "every operation rounds to 16 bits"


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


def test_every_file_explains_itself(built: tuple[Path, list[Report]]) -> None:
    for report in built[1]:
        folder = built[0] / report.target
        contract = bundle.open_bundle(folder)[2]
        assert contract.labels
        for each in report.artifacts:
            left = "none" if each.format == "coreml" else "softmax"
            told = formats.describe(folder / each.file).contract
            assert told is not None, each.file
            assert (told.inputs, told.labels) == (contract.inputs, contract.labels), each.file
            assert told.outputs[0].activation == left, each.file


def test_golden_vectors_are_the_float_models(built: tuple[Path, list[Report]]) -> None:
    folder = built[0] / "raspberry-pi-5" / "golden"
    inputs, outputs = np.load(folder / "inputs_0.npy"), np.load(folder / "outputs_0.npy")
    assert inputs.shape == (bundle.GOLDEN_SAMPLES, 1, 1, 28, 28)
    assert outputs.shape == (bundle.GOLDEN_SAMPLES, 1, 10)
    told = np.load(folder / "fashion_mnist-w8a8.onnx.outputs_0.npy")
    assert metrics.cosine(told, outputs) > 0.999
    assert not np.array_equal(told, outputs)


def test_the_ort_file_comes_with_the_operators_it_needs(built: tuple[Path, list[Report]]) -> None:
    config = built[0] / "raspberry-pi-5" / "model" / "fashion_mnist-w8a8.required_operators.config"
    assert "QLinearConv" in config.read_text()


def test_a_bundle_checks_again(built: tuple[Path, list[Report]]) -> None:
    report = edgepack.check(built[0] / "raspberry-pi-5")
    assert report.passed
    names = {check.name for artifact in report.artifacts for check in artifact.checks}
    assert names == {"intact", "runs", "repeats", "device runs"}


def test_a_changed_file_fails_the_check(built: tuple[Path, list[Report]], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    models = folder / "model"
    with (models / "fashion_mnist-w8a8.onnx").open("ab") as file:
        file.write(b"\x00")
    (models / "fashion_mnist-w8a8.pte").write_bytes(b"no program")
    report = edgepack.check(folder)
    failed = {artifact.file for artifact in report.artifacts if artifact.verdict == "fail"}
    assert failed == {"model/fashion_mnist-w8a8.onnx", "model/fashion_mnist-w8a8.pte"}


def test_outputs_that_no_longer_repeat_fail_the_check(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    told = folder / "golden" / "fashion_mnist-w8a8.onnx.outputs_0.npy"
    np.save(told, -np.load(told))
    checks = {a.file: {c.name: c.verdict for c in a.checks} for a in edgepack.check(folder).artifacts}
    assert checks["model/fashion_mnist-w8a8.onnx"]["repeats"] == "fail"
    assert checks["model/fashion_mnist-w8a8.ort"]["repeats"] == "pass"


def _app(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fashion_mnist_app", *arguments]
    return subprocess.run(
        command, cwd=folder / "app", capture_output=True, text=True, timeout=120, check=False
    )


def test_the_app_repeats_the_golden_vectors_and_fails_on_others(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    assert built[1][0].app == "model/fashion_mnist-w8a8.onnx"
    folder = tmp_path / "bundle"
    shutil.copytree(built[0] / "raspberry-pi-5", folder)
    done = _app(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    told = folder / "app" / "fashion_mnist_app" / "golden" / "host_0.npy"
    np.save(told, np.roll(np.load(told), 1, axis=-1))
    assert _app(folder, "--selftest").returncode == 1


def test_the_app_names_the_pictures(built: tuple[Path, list[Report]]) -> None:
    for name, label in (("bag", "Bag"), ("sneaker", "Sneaker"), ("trouser", "Trouser")):
        done = _app(built[0] / "raspberry-pi-5", str(FASHION / "pictures" / f"{name}.png"), "--top", "1")
        assert done.returncode == 0, done.stderr
        assert label in done.stdout
        assert "ms" in done.stdout


def test_a_gate_that_is_missed_is_a_verdict_and_the_bundle_is_still_written(
    small_fashion: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "strict.toml"
    text = ALL_FORMATS.read_text().replace("min_sqnr_db = 15", "min_sqnr_db = 99")
    profile.write_text(text.replace("size_mb = 50", "size_mb = 0.01"))
    (report,) = edgepack.build(
        str(small_fashion),
        targets=[str(profile)],
        formats=["torchscript"],
        scheme="w8d",
        out=str(tmp_path / "out"),
    )
    assert not report.passed
    assert _failed(report) == {("w8d", "size"), ("w8d", "sqnr")}
    assert (tmp_path / "out" / "strict" / "bundle.json").is_file()
    again = edgepack.check(tmp_path / "out" / "strict")
    assert not again.passed, "a bundle that failed when it was built does not pass later"


def test_a_new_build_takes_the_place_of_the_old_bundle(small_fashion: Path, tmp_path: Path) -> None:
    for _ in range(2):
        edgepack.build(str(small_fashion), targets=["jetson-nano"], out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["jetson-nano"]
    assert bundle.damage(tmp_path / "jetson-nano") == []


def test_without_samples_the_best_scheme_that_needs_none_is_taken(tmp_path: Path) -> None:
    shutil.copyfile(FASHION / "model.py", tmp_path / "other.py")
    (report,) = edgepack.build(
        f"{tmp_path / 'other.py'}:net",
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        weights=str(FASHION / "weights.safetensors"),
        inputs=["tensor:1x1x28x28"],
        out=str(tmp_path / "out"),
    )
    assert {artifact.scheme for artifact in report.artifacts} == {"w8"}
    left = {each.what: each.why for each in report.skipped}
    assert "falls back to w8d or w8 or fp32" in left["onnx w8a8"]
    assert "takes longer for convolutions in dynamic int8" in left["onnx w8d"]
    assert any("noise" in note for note in report.notes)
    assert report.fingerprint == ""


# The search


def test_of_each_format_one_candidate_is_shipped_and_all_are_told(four: tuple[Path, list[Report]]) -> None:
    for report in four[1]:
        assert report.passed
        shipped = [each.artifact for each in report.tried if each.outcome == "shipped"]
        assert shipped == list(report.artifacts)
        for name in ("onnx", "executorch"):
            assert len({each.scheme for each in report.artifacts if each.format == name}) == 1
            assert _only(report, name, "fp32", ".onnx" if name == "onnx" else ".pte")
        assert all(each.outcome for each in report.tried)
        for each in report.tried:
            if each.artifact.scheme == "w8a8" and each.outcome != "shipped":
                assert "slower than float" in each.outcome, "all candidates meet this goal"
        assert report.goal["scheme"] == "auto"
        assert report.goal["min_agreement"] == 95


def test_targets_share_calibration_repairs_and_exports(four: tuple[Path, list[Report]]) -> None:
    out, reports = four
    last = reports[-1].seconds
    for report in reports:
        for what in ("calibration", "repairs"):
            assert report.seconds[what] == last[what]
        for name, suffix in (("onnx", ".onnx"), ("executorch", ".pte")):
            same = {_only(each, name, "fp32", suffix).export_seconds for each in reports}
            assert len(same) == 1
    whole = [key for key in last if re.match(r"export \w+ fp32", key)]
    assert len(whole) == 2, "one float export a format"
    for name in ("onnx", "executorch"):
        files = [next(each.file for each in report.artifacts if each.format == name) for report in reports]
        assert len({(out / r.target / file).read_bytes() for r, file in zip(reports, files)}) == 1


def test_the_bundle_tells_candidates_recipe_and_calibration(four: tuple[Path, list[Report]]) -> None:
    folder = four[0] / "raspberry-pi-5"
    told = json.loads((folder / "report.json").read_text())
    assert told["schema_number"] == 2
    assert len(told["tried"]) == len(four[1][0].tried)
    assert len(told["fingerprint"]) == 64
    assert {report.fingerprint for report in four[1]} == {told["fingerprint"]}
    book = recipe.read(folder / "recipe.toml")
    for artifact in four[1][0].artifacts:
        assert book.of(artifact.format) == artifact.recipe
    plot = (folder / "pareto.svg").read_text()
    assert plot.startswith("<?xml")
    assert "agreement with float" in plot


def test_a_recipe_gives_the_same_file_without_a_search(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    folder = built[0] / "raspberry-pi-5"
    (report,) = edgepack.build(
        str(FASHION),
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        recipe=str(folder / "recipe.toml"),
        out=str(tmp_path),
    )
    assert "sensitivity" not in report.seconds
    assert {each.artifact.scheme for each in report.tried} == {"w8a8", "fp32"}
    file = "model/fashion_mnist-w8a8.onnx"
    assert (tmp_path / "raspberry-pi-5" / file).read_bytes() == (folder / file).read_bytes()
    assert recipe.read(tmp_path / "raspberry-pi-5" / "recipe.toml").of("onnx") == recipe.read(
        folder / "recipe.toml"
    ).of("onnx")


def test_a_recipe_edited_by_hand_is_followed(small_fashion: Path, tmp_path: Path) -> None:
    wanted = Recipe("w8a8", {"blocks.1": "fp32", "classifier": "fp32"})
    (tmp_path / "mine.toml").write_text(recipe.to_toml({"": wanted}, "", 0, 0))
    (report,) = edgepack.build(
        str(small_fashion),
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        recipe=str(tmp_path / "mine.toml"),
        out=str(tmp_path / "out"),
    )
    assert report.artifacts[0].recipe == wanted
    assert len(report.artifacts[0].kept_float) == 3
    assert report.artifacts[0].quantized == pytest.approx(9 / 12)
    assert "repairs" in report.seconds, "ranges are set"
    assert "sensitivity" not in report.seconds


# Goals that int8 misses


@pytest.fixture(scope="module")
def careful(small_fashion: Path, hard_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """All formats, on images that int8 partly classifies otherwise, with no drop of accuracy allowed."""
    out = tmp_path_factory.mktemp("careful")
    (report,) = edgepack.build(
        str(small_fashion),
        targets=[str(ALL_FORMATS)],
        eval=str(hard_pictures),
        max_drop=0,
        min_agreement=0,
        out=str(out),
    )
    assert bundle.damage(out / "all-formats") == []
    return report


def test_no_drop_is_honoured_by_every_format_and_never_by_an_empty_bundle(careful: Report) -> None:
    assert careful.passed
    assert {each.format for each in careful.artifacts} == set(formats.names())
    for artifact in careful.artifacts:
        assert artifact.figures.agreement == 100
        (drop,) = [check for check in artifact.checks if check.name == "drop"]
        assert (drop.verdict, drop.figure, drop.limit) == ("pass", 0, 0)
        assert "no labels" in drop.reason


def test_what_was_missed_by_how_much_is_told_of_each_candidate(careful: Report) -> None:
    missed = [each for each in careful.tried if not each.artifact.recipe.is_float]
    assert {each.artifact.format for each in missed} == set(formats.names())
    for each in missed:
        if not each.outcome.startswith("shipped"):
            lost = 100 - (each.artifact.figures.agreement or 0)
            assert lost > 0
            assert f"drop {lost:.4g} points is over the limit of 0" in each.outcome


def test_a_forced_scheme_is_shipped_whatever_it_misses_and_exits_10(
    small_fashion: Path, hard_pictures: Path, tmp_path: Path, command: Command
) -> None:
    line = ("build", small_fashion, "-t", "raspberry-pi-5", "-f", "onnx", "--eval", hard_pictures, "--json")
    asked = ("--scheme", "w8a8", "--min-agreement", "100", "--out", tmp_path)
    ended = command(*line, *asked)
    assert ended.code == 10, ended.err
    (report,) = json.loads(ended.out)
    assert {each["scheme"] for each in report["artifacts"]} == {"w8a8"}
    told = {each["outcome"] for each in report["tried"] if each["artifact"]["scheme"] == "w8a8"}
    (shipped,) = (each for each in told if each.startswith("shipped"))
    assert shipped.startswith("shipped, as asked for by hand: agreement ")
    for each in told:
        assert each.count("is under the limit of 100") == 1
    assert (tmp_path / "raspberry-pi-5" / "model" / f"{small_fashion.name}-w8a8.onnx").is_file()


def test_a_spent_budget_ends_the_search_and_gives_a_bundle(
    small_fashion: Path, hard_pictures: Path, tmp_path: Path
) -> None:
    (report,) = edgepack.build(
        str(small_fashion),
        targets=["raspberry-pi-5"],
        formats=["onnx"],
        eval=str(hard_pictures),
        min_agreement=100,
        search_budget=0.0001,
        out=str(tmp_path),
    )
    assert report.passed
    assert {each.scheme for each in report.artifacts} == {"fp32"}
    tried = [each.artifact.file for each in report.tried if not each.artifact.recipe.is_float]
    assert len(tried) == 2, "one recipe, as .onnx and as .ort"
    assert any("the search budget is spent" in each.outcome for each in report.tried)


# Sensitivity


def test_sensitivity_is_told_layer_by_layer_and_drawn(
    small_fashion: Path, tmp_path: Path, command: Command
) -> None:
    plot = tmp_path / "layers.png"
    ended = command("sensitivity", small_fashion, "-t", "raspberry-pi-5", "--plot", plot, "--json")
    assert ended.code == 0, ended.err
    layers = json.loads(ended.out)
    assert len(layers) == 12
    assert [each["sqnr_db"] for each in layers] == sorted(each["sqnr_db"] for each in layers)
    assert sum(each["share_of_bytes"] for each in layers) == pytest.approx(1)
    assert sum(each["share_of_work"] for each in layers) == pytest.approx(1)
    (stem,) = [each for each in layers if each["path"] == "stem"]
    assert stem["bytes_saved"] == 3 * 16 * 9
    assert stem["multiply_adds"] == 28 * 28 * 16 * 9
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_sensitivity_in_words_and_without_samples(
    small_fashion: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(FASHION / "model.py", tmp_path / "net.py")
    line = ("sensitivity", "net.py:net", "-t", "raspberry-pi-5", "--input", "tensor:1x1x28x28")
    ended = command(*line)
    assert ended.code == 3
    assert "sensitivity is measured on samples: give --calib" in ended.sentence()
    ended = command(*line, "--plot", "layers.pdf")
    assert ended.code == 3
    assert "a plot ends in .svg or .png, not 'layers.pdf'" in ended.sentence()
    data = small_fashion / "data" / "calib.npz"
    with np.load(data) as given:
        rows = given["inputs"][:8, None].astype(np.float32) / 255
    np.save("rows.npy", rows)
    ended = command(*line, "--calib", "rows.npy")
    assert ended.code == 0, ended.err
    assert "blocks.0.depthwise" in ended.out
    assert "plot: sensitivity.svg" in ended.out
    assert (tmp_path / "sensitivity.svg").is_file()


def test_bytes_and_counted_instructions_decide_and_no_clock_does() -> None:
    slow = replace(an_artifact(), figures=Figures(latency_ratio=1.4, latency_spread=(1.2, 1.6)))
    counted = replace(slow, figures=replace(slow.figures, instructions_ratio=1.1))
    for what in ("w8a8", "pruned fp32"):
        assert no_gain((slow,), what) == ""
        for ratio in (1.0, 0.99):
            assert "no smaller" in no_gain((replace(slow, size_ratio=ratio),), what)
        assert f"{what} takes no fewer instructions than float" in no_gain((counted,), what)


def test_pruning_is_told_of_the_target_that_was_pruned_alone(small_fashion: Path, tmp_path: Path) -> None:
    """Core ML stores zeros for less; ONNX gains nothing from them, so that its target is not pruned."""
    phones, pruning = ("iphone-15", "pixel-8"), "weights:0.3"
    built = edgepack.build(
        str(small_fashion), targets=phones, formats=("coreml", "onnx"), prune=pruning, out=str(tmp_path)
    )
    pruned, whole = built
    assert pruned.pruned is not None
    assert pruned.pruned.what == pruning
    assert whole.pruned is None
    written = {name: recipe.read(tmp_path / name / "recipe.toml").prune for name in phones}
    assert written == {"iphone-15": pruning, "pixel-8": ""}


def test_each_target_is_pruned_as_far_as_its_own_goal_allows(small_fashion: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "raspberry-pi-5.toml").read_text()
    goals = {"lenient": 30, "strict": 97}
    for name, least in goals.items():
        own = f"\n[compress]\nmin_agreement = {least}\n"
        (tmp_path / f"{name}.toml").write_text(text + own)
    reports = edgepack.build(
        str(small_fashion),
        targets=[str(tmp_path / f"{name}.toml") for name in goals],
        formats=["onnx"],
        scheme="fp32",
        prune="auto",
        out=str(tmp_path / "out"),
    )
    shares = [float(report.pruned.what) if report.pruned else 0.0 for report in reports]
    assert shares[0] > shares[1]


def test_a_busy_machine_ships_the_same_files(small_fashion: Path, tmp_path: Path) -> None:
    """All but the order of what ONNX Runtime itself writes into an `.ort`."""

    def built(out: Path) -> dict[str, bytes]:
        edgepack.build(str(small_fashion), targets=["raspberry-pi-5"], formats=["onnx"], out=str(out))
        folder = out / "raspberry-pi-5"
        files = [folder / "recipe.toml", *sorted((folder / "model").iterdir())]
        return {path.name: path.read_bytes() for path in files if path.suffix != ".ort"}

    idle = built(tmp_path / "idle")
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        busy = built(tmp_path / "busy")
    finally:
        for process in load:
            process.kill()
            process.wait()
    assert "recipe.toml" in busy
    assert any(name.endswith("w8a8.onnx") for name in busy)
    assert busy == idle
