"""Model files run by Android's own library, on the device's emulated core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import source_of
from onnx import TensorProto, helper

from edgepack import formats, target
from edgepack.arrays import Sample
from edgepack.contract import Contract, Output, TensorInput
from edgepack.contract.outputs import judge
from edgepack.emulator import arm
from edgepack.emulator.arm import android_libraries, build, cache, fetch
from edgepack.emulator.job import Death, Job, read_samples, write_samples
from edgepack.errors import EdgepackError, TargetError
from edgepack.evaluate import android as checks
from edgepack.evaluate.device import Device
from edgepack.evaluate.model_file import ModelFile, Reference
from edgepack.model.source import Source
from edgepack.progress import Steps
from edgepack.recipe import Recipe
from edgepack.report import Check
from edgepack.scheme import SCHEMES, SchemeName

PIXEL_8 = target.load("pixel-8")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emulator"


@pytest.fixture(scope="module")
def libraries(users_cache: None) -> android_libraries.Libraries:
    """Those in the user's own cache."""
    found = android_libraries.libraries()
    if arm.unsuited(PIXEL_8, "onnx") or arm.status() is None or found is None:
        pytest.skip("not in the cache: `edgepack emulator setup --android-libs` (230 MB)")
    return found


def _file(path: Path, scheme: SchemeName = "fp32", name: str = "onnx") -> ModelFile:
    return ModelFile(path, name, scheme)


def _device(samples: Path, scratch: Path) -> Device:
    inputs = read_samples(samples)
    return Device(
        target=PIXEL_8,
        samples=samples,
        inputs=inputs,
        scratch=scratch,
        time_limit=300,
        steps=Steps(),
        absent="",
    )


def _classifier(inputs: tuple[Sample, ...]) -> Reference:
    output = Output(kind="classification")
    contract = Contract(inputs=(TensorInput(kind="tensor", shape=(1, 4)),), outputs=(output,))
    return Reference(inputs, inputs, contract, judge.judged(contract.outputs, inputs, None, is_noise=True))


def _checked(
    path: Path, samples: Path, scratch: Path, scheme: SchemeName = "fp32", name: str = "onnx"
) -> list[Check]:
    """The checks of Android's library, after the device's own run."""
    on = _device(samples, scratch)
    file = _file(path, scheme, name)
    if not arm.unsuited(PIXEL_8, name) and arm.status():
        on.run(name, path)
    return list(checks.checks(file, on, _classifier(on.inputs)))


def _model(path: Path, *, opset: int = 20, ir_version: int = 10, operator: str = "Relu") -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "net",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
    )
    sets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=ir_version), path)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    write_samples(((np.array([[-1.0, 0.5, 2.0, 4.0]], np.float32),),), tmp_path / "samples.npz")
    return tmp_path / "samples.npz"


def test_a_target_that_is_not_android_is_refused() -> None:
    checks.refuse(PIXEL_8)
    with pytest.raises(TargetError, match="linux") as caught:
        checks.refuse(target.load("raspberry-pi-5"))
    assert "--android-libs" in caught.value.hint


def test_without_the_libraries_the_check_is_skipped_with_the_command(
    own_cache: Path, samples: Path, tmp_path: Path
) -> None:
    if problem := arm.unsuited(PIXEL_8, "onnx"):
        pytest.skip(problem)
    (check,) = _checked(tmp_path / "model.onnx", samples, tmp_path / "run")
    assert (check.name, check.verdict) == ("android libs run", "skipped")
    assert "edgepack emulator setup --android-libs" in check.reason


def test_a_format_whose_library_is_not_had_is_skipped_with_the_reason(
    own_cache: Path, samples: Path, tmp_path: Path
) -> None:
    (check,) = _checked(tmp_path / "model.ptl", samples, tmp_path / "run", name="torchscript")
    assert check.verdict == "skipped"
    assert "torchscript" in check.reason


@pytest.mark.parametrize("kept", [None, b"something else"])
def test_a_package_that_cannot_be_had_leaves_nothing_behind(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes | None
) -> None:
    package = android_libraries.PACKAGES["onnx"]
    folder = tmp_path / "registry" / package.name / "-"
    folder.mkdir(parents=True)
    if kept:
        (folder / f"{package.name}-{package.version}.tgz").write_bytes(kept)
    monkeypatch.delenv("EDGEPACK_OFFLINE")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (tmp_path / "registry").as_uri())
    with pytest.raises(EdgepackError, match="sha256" if kept else "cannot be downloaded"):
        android_libraries.setup(lambda _: None)
    assert android_libraries.libraries() is None
    assert list(own_cache.iterdir()) == [own_cache / "lock"]


def test_offline_nothing_is_fetched(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPACK_OFFLINE", "1")
    with pytest.raises(EdgepackError, match="EDGEPACK_OFFLINE"):
        android_libraries.setup(lambda _: None)


def test_a_changed_pin_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = android_libraries._name()
    changed = replace(android_libraries.PACKAGES["executorch"], sha256="0" * 64)
    monkeypatch.setitem(android_libraries.PACKAGES, "executorch", changed)
    assert android_libraries._name() != before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scheme", "ending"),
    [
        ("onnx", "fp32", ".onnx"),
        ("onnx", "w8a8", ".onnx"),
        ("onnx", "w8a8", ".ort"),
        ("executorch", "fp32", ".pte"),
        ("executorch", "w8a8", ".pte"),
        ("executorch", "w4d", ".pte"),
    ],
)
def test_androids_library_answers_as_the_build_for_linux(
    libraries: android_libraries.Libraries,
    small_source: Source,
    tmp_path: Path,
    name: str,
    scheme: SchemeName,
    ending: str,
) -> None:
    module = formats.load(name)
    module.export(small_source, Recipe(scheme), PIXEL_8, tmp_path / f"model{module.suffix}")
    write_samples(small_source.evaluation.inputs[:8], tmp_path / "samples.npz")
    path = (tmp_path / "model").with_suffix(ending)
    runs, agrees = _checked(path, tmp_path / "samples.npz", tmp_path / "run", scheme, name)
    assert (runs.name, runs.verdict) == ("android libs run", "pass")
    assert android_libraries.PACKAGES[name].about in runs.reason
    assert android_libraries.PACKAGES[name].about in libraries.made.runtimes
    assert (agrees.name, agrees.verdict) == ("android libs agree", "pass")
    assert agrees.figure == pytest.approx(0 if SCHEMES[scheme].is_float else 1, abs=1e-5)
    assert "for Linux" in agrees.reason


@pytest.mark.slow
@pytest.mark.parametrize("newer", [{"opset": 28}, {"ir_version": 14}])
def test_what_is_too_new_for_it_is_told_and_no_failure(
    libraries: android_libraries.Libraries, samples: Path, tmp_path: Path, newer: dict[str, Any]
) -> None:
    """The app's own ONNX Runtime is newer, and runs such files."""
    _model(tmp_path / "model.onnx", **newer)
    (check,) = _checked(tmp_path / "model.onnx", samples, tmp_path / "run")
    assert check.verdict == "skipped"
    assert "too new for onnxruntime 1.29.0 for Android" in check.reason


def _pooled(path: Path, samples: Path) -> None:
    """A .pte with a kernel that ExecuTorch did not have yet when Android's library was built."""
    source = source_of(torch.nn.AdaptiveAvgPool2d(3), [torch.ones(1, 2, 7, 7)])
    formats.load("executorch").export(source, Recipe("fp32"), PIXEL_8, path)
    write_samples(source.evaluation.inputs, samples)


@pytest.mark.slow
def test_an_operator_that_is_too_new_for_executorch_s_is_told_and_no_failure(
    libraries: android_libraries.Libraries, tmp_path: Path
) -> None:
    path, samples = tmp_path / "model.pte", tmp_path / "samples.npz"
    _pooled(path, samples)
    (check,) = _checked(path, samples, tmp_path / "run", name="executorch")
    assert check.verdict == "skipped"
    assert "too new for executorch of react-native-executorch 0.8.5 for Android" in check.reason
    assert "Missing operator" in check.reason
    assert "aten::_adaptive_avg_pool2d" in check.reason


@pytest.mark.slow
def test_what_its_older_xnnpack_does_not_take_is_told_and_no_failure(
    libraries: android_libraries.Libraries, small_source: Source, tmp_path: Path
) -> None:
    """A depthwise convolution whose weights are in half precision."""
    path, samples = tmp_path / "model.pte", tmp_path / "samples.npz"
    formats.load("executorch").export(small_source, Recipe("fp16"), PIXEL_8, path)
    write_samples(small_source.evaluation.inputs[:1], samples)
    (check,) = _checked(path, samples, tmp_path / "run", "fp16", "executorch")
    assert check.verdict == "skipped"
    assert "Failed to create depthwise convolution" in check.reason


@pytest.mark.slow
def test_a_shim_and_a_runner_that_zig_compiles_answer_the_same(
    libraries: android_libraries.Libraries, small_source: Source, tmp_path: Path
) -> None:
    entry, package = cache.entry(), android_libraries.PACKAGES["executorch"]
    assert entry is not None
    fetch.zig(tmp_path / "zig")
    compiler = build.zig(tmp_path / "zig", entry.libraries, build.headers())
    other = android_libraries.Libraries(tmp_path / "libraries")
    other.folder.mkdir()
    android_libraries._unpack(package, fetch.npm(package.name, package.version, package.sha256), other.folder)
    own = other.build("executorch", entry)
    build.shim(compiler, other.folder / own.preload)
    build.android_runner(compiler, other.folder / package.headers, other.folder / package.kept, own.runner)
    for name in android_libraries._SYSTEM:
        (other.folder / name).symlink_to(own.preload)
    path, samples = tmp_path / "model.pte", tmp_path / "samples.npz"
    formats.load("executorch").export(small_source, Recipe("w8a8"), PIXEL_8, path)
    write_samples(small_source.evaluation.inputs[:2], samples)
    job = Job("executorch", str(path), str(samples))
    ran = [
        arm.run(job, PIXEL_8, tmp_path / "run", 300, samples=2, by=each.build("executorch", entry))
        for each in (libraries, other)
    ]
    first, second = ran
    assert isinstance(first, arm.Run), first
    assert isinstance(second, arm.Run), second
    assert np.array_equal(first.outputs, second.outputs)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half of it", "an operator of nobody's"])
def test_a_pte_that_it_cannot_load_fails(
    libraries: android_libraries.Libraries, tmp_path: Path, damage: str
) -> None:
    path, samples = tmp_path / "model.pte", tmp_path / "samples.npz"
    _pooled(path, samples)
    data = path.read_bytes()
    half = damage == "half of it"
    path.write_bytes(data[: len(data) // 2] if half else data.replace(b"aten::_adaptive", b"aten::_unheard_"))
    (check,) = _checked(path, samples, tmp_path / "run", name="executorch")
    assert (check.name, check.verdict) == ("android libs run", "fail")


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["Relu", "Unheard"])
def test_what_it_cannot_load_fails(
    libraries: android_libraries.Libraries, samples: Path, tmp_path: Path, operator: str
) -> None:
    """Half a file, and an operator that the app's own runtime does not know either."""
    path = tmp_path / "model.onnx"
    _model(path, operator=operator)
    if operator == "Relu":
        path.write_bytes(path.read_bytes()[:40])
    (check,) = _checked(path, samples, tmp_path / "run")
    assert (check.name, check.verdict) == ("android libs run", "fail")


@pytest.mark.slow
def test_answers_that_differ_from_linux_fail(
    libraries: android_libraries.Libraries, samples: Path, tmp_path: Path
) -> None:
    _model(tmp_path / "model.onnx")
    _model(tmp_path / "other.onnx", operator="Sigmoid")
    on = _device(samples, tmp_path / "run")
    on.ran[tmp_path / "model.onnx"] = on.run("onnx", tmp_path / "other.onnx")
    file = _file(tmp_path / "model.onnx")
    _, agrees = checks.checks(file, on, _classifier(on.inputs))
    assert agrees.verdict == "fail"


@pytest.mark.slow
def test_a_shim_that_comes_too_late_says_so(
    libraries: android_libraries.Libraries, samples: Path, tmp_path: Path
) -> None:
    """Not preloaded, its thread-local variables are not where code for Android looks for its guard."""
    _model(tmp_path / "model.onnx")
    entry = cache.entry()
    assert entry is not None
    late = replace(libraries.build("onnx", entry), preload="")
    job = Job("onnx", str(tmp_path / "model.onnx"), str(samples))
    death = arm.run(job, PIXEL_8, tmp_path / "run", 300, by=late)
    assert isinstance(death, Death)
    assert "preloaded" in death.reason
