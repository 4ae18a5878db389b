"""Apps: rendered from a bundle, whole, alone, and never over what a user has changed."""

from __future__ import annotations

import fnmatch
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from apps import cases, cpp, python
from PIL import Image

from edgepack import bundle
from edgepack.app import render, template
from edgepack.app.render import Choice
from edgepack.contract.expected import Expected
from edgepack.errors import BundleError, PlanError
from edgepack.report import Check, Verdict


@pytest.fixture
def folder(fashion_bundle: Path, tmp_path: Path) -> Path:
    """A copy of a bundle whose app may be spoilt."""
    shutil.copytree(fashion_bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def files(place: Path) -> dict[str, bytes]:
    found = (path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def test_rendering_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    done = render.rendered(folder, tmp_path / "deep" / "app", Choice(), force=False)
    assert done.changes == ()
    assert done.file == "model/fashion0-w8a8.onnx"
    assert files(tmp_path / "deep" / "app") == files(folder / "app")


def test_an_app_takes_a_file_that_an_evaluator_ran_and_none_that_failed(fashion_bundle: Path) -> None:
    first, *_ = bundle.open_bundle(fashion_bundle)[0].artifacts
    verdicts: tuple[Verdict, ...] = ("fail", "evaluated", "pass")
    made = {each: replace(first, checks=(Check("runs", each, None, None, ""),)) for each in verdicts}
    found = template.load("linux-python")
    assert render.usable(found, tuple(made.values())) is made["evaluated"]
    assert render.usable(found, (made["fail"],)) is None


def test_an_app_runs_alone_wherever_it_is_copied(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "app", tmp_path / "elsewhere")
    shutil.rmtree(folder)
    done = python.run(["-m", "fashion0_app"], tmp_path / "elsewhere", "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    for content in files(tmp_path / "elsewhere").values():
        assert str(tmp_path).encode() not in content
        assert b"import edgepack" not in content


def test_another_format_s_app_takes_the_place_of_an_untouched_one(folder: Path) -> None:
    done = render.rendered(folder, folder / "app", Choice(format="executorch"), force=False)
    assert ("new", "fashion0_app/assets/fashion0-w8a8.pte") in [
        (each.what, each.place) for each in done.changes
    ]
    assert bundle.damage(folder) == []
    assert bundle.open_bundle(folder)[0].app == "model/fashion0-w8a8.pte"
    listed = json.loads((folder / "bundle.json").read_text())["files"]
    assert "app/fashion0_app/assets/fashion0-w8a8.pte" in listed
    assert "app/fashion0_app/assets/fashion0-w8a8.onnx" not in listed


def test_a_changed_app_is_not_replaced_without_force(folder: Path) -> None:
    (folder / "app" / "pyproject.toml").write_text("# mine\n")
    (folder / "app" / "more.py").write_text("# mine too\n")
    with pytest.raises(BundleError, match=r"more\.py \(gone\), pyproject\.toml \(changed\)") as raised:
        render.rendered(folder, folder / "app", Choice(), force=False)
    assert "--force" in raised.value.hint
    assert (folder / "app" / "pyproject.toml").read_text() == "# mine\n"
    assert [each.name for each in folder.iterdir() if each.name.startswith(".edgepack")] == []
    done = render.rendered(folder, folder / "app", Choice(), force=True)
    assert {each.place for each in done.changes} == {"pyproject.toml", "more.py"}
    assert bundle.damage(folder) == []


def test_an_app_that_was_only_run_is_replaced_without_asking(folder: Path) -> None:
    assert python.run(["-m", "compileall", "-q"], folder, "app").returncode == 0
    assert list((folder / "app").rglob("__pycache__/*.pyc"))
    done = render.rendered(folder, folder / "app", Choice(), force=False)
    assert done.changes == ()


def test_a_file_added_to_the_bundle_s_app_is_not_lost_either(folder: Path) -> None:
    (folder / "app" / "notes.md").write_text("mine\n")
    with pytest.raises(BundleError, match=r"notes\.md \(gone\)"):
        render.rendered(folder, folder / "app", Choice(format="executorch"), force=False)
    assert (folder / "app" / "notes.md").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("app", "one segment only"),
        ("com.1x", "'1x' is not a letter"),
        ("com..x", "'' is not a letter"),
        ("com.a-b", "'a-b' is not a letter"),
        ("com.é", "'é' is not a letter"),
        ("com.x\n", "is not a letter"),
        ("com.in.x", "'in' is a keyword"),
        ("com.class", "'class' is a keyword"),
        ('com.x"; exit', "is not a letter"),
        ("", "one segment only"),
    ],
)
def test_package_names_that_no_language_takes_are_refused(name: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        render.check_package(name)


@pytest.mark.parametrize("name", ["com.example.app", "io.Acme.net_2", "a.b"])
def test_package_names_that_all_take(name: str) -> None:
    render.check_package(name)


def test_what_a_bundle_cannot_give_is_said(folder: Path) -> None:
    with pytest.raises(PlanError, match="linux-python has no runtime for coreml: it has onnx, executorch"):
        render.rendered(folder, folder / "x", Choice(format="coreml"), force=False)
    shutil.rmtree(folder / "app")
    report = (folder / "report.json").read_text()
    (folder / "report.json").write_text(report.replace('"verdict": "pass"', '"verdict": "fail"'))
    with pytest.raises(BundleError, match="no onnx or executorch file without a failed check"):
        render.rendered(folder, folder / "app", Choice(), force=False)
    assert not (folder / "app").exists()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("MobileNet V2", "mobilenet_v2"),
        ("2fast", "model_2fast"),
        ("", "model"),
        ("雪", "model"),
        ("in", "model_in"),
    ],
)
def test_slugs_are_names_in_every_language(name: str, slug: str) -> None:
    assert render.slug(name) == slug
    render.check_package(f"com.example.{slug}")


def test_the_golden_picture_is_what_the_reference_makes_of_it(folder: Path) -> None:
    from edgepack.contract.preprocess import prepare

    golden = folder / "app" / "fashion0_app" / "golden"
    picture = np.load(golden / "picture.npy")
    assert picture.dtype == np.uint8
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 1
    _, _, contract = bundle.open_bundle(folder)
    assert contract.image is not None
    np.testing.assert_array_equal(np.load(golden / "picture_tensor.npy"), prepare(picture, contract.image))
    host = np.load(folder / "golden" / "fashion0-w8a8.onnx.outputs_0.npy")
    np.testing.assert_array_equal(np.load(golden / "host_0.npy"), host)


def test_expectations_count_every_sample(folder: Path) -> None:
    found = Expected.model_validate_json((folder / "expected.json").read_text())
    report = bundle.open_bundle(folder)[0]
    assert str(sum(found.input_mean.counts)) in report.calibrated_on
    assert str(sum(found.top_score.counts)) in report.evaluated_on
    for each in (found.input_mean, found.top_score):
        assert len(each.counts) == len(each.edges) + 1
        assert list(each.edges) == sorted(each.edges)


def test_every_template_s_own_settings_hold_together() -> None:
    for name in template.names():
        found = template.load(name)
        for format_name in found.formats:
            places = template.files(name, format_name)
            assert any(place.startswith("README.md") for place in places), name
        everything = {place for each in found.formats for place in template.files(name, each)}
        for pattern in (each for patterns in found.only.values() for each in patterns):
            assert fnmatch.filter(everything, pattern), f"{name}: nothing is called {pattern}"


SUM = """
from torch import nn


class Sum(nn.Module):
    def forward(self, x, total):
        return x * 2, total + x


def net():
    return Sum()
"""
SUM_SETTINGS = """
[model]
source = "net.py:net"
[[input]]
kind = "tensor"
name = "x"
shape = [1, 2]
[[input]]
kind = "tensor"
name = "total"
shape = [1, 2]
[[output]]
name = "double"
[[output]]
name = "sum"
[[state]]
input = "total"
output = "sum"
initial = 0.5
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
"""


@pytest.fixture(scope="module")
def summing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a model that adds up what it has been given."""
    import edgepack

    home = tmp_path_factory.mktemp("sum")
    (home / "net.py").write_text(SUM)
    (home / "edgepack.toml").write_text(SUM_SETTINGS)
    edgepack.build(str(home), scheme="fp32", out=str(home / "out"))
    for number in (1, 2, 3):
        np.save(home / f"{number}.npy", np.array([[number, -number]], np.float32))
    return home / "out" / "raspberry-pi-5"


def test_the_python_app_carries_state_from_file_to_file(summing: Path) -> None:
    line = [
        sys.executable,
        "-m",
        f"{summing.parent.parent.name}_app",
        *(str(summing.parent.parent / f"{n}.npy") for n in (1, 2, 3)),
    ]
    done = subprocess.run(line, cwd=summing / "app", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sums = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("[[")][1::2]
    assert sums == ["[[ 1.5 -0.5]]", "[[ 3.5 -2.5]]", "[[ 6.5 -5.5]]"]


@pytest.mark.skipif(bool(cpp.absent()), reason=f"C++ apps are not built: {cpp.absent()}")
def test_so_does_the_c_app(summing: Path, tmp_path: Path) -> None:
    render.rendered(summing, tmp_path / "app", Choice("linux-cpp"), force=False)
    assert cpp.built(tmp_path / "app", "build", cpp.QUICK) == ""
    files = [summing.parent.parent / f"{n}.npy" for n in (1, 2, 3)]
    done = cpp.run(["build/app", *files], tmp_path / "app", cpp.environment())
    sums = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("sum")]
    assert sums == ["sum [ 1 2 ]: 1.5 -0.5", "sum [ 1 2 ]: 3.5 -2.5", "sum [ 1 2 ]: 6.5 -5.5"]


def test_a_jetson_s_app_says_which_providers_it_does_without(folder: Path, tmp_path: Path) -> None:
    render.rendered(folder, tmp_path / "app", Choice("jetson-python"), force=False)
    command = [sys.executable, "-m", "fashion0_app", "--selftest"]
    done = subprocess.run(command, cwd=tmp_path / "app", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("TensorrtExecutionProvider", "CUDAExecutionProvider"):
        assert f"not used: {name}, which this build of ONNX Runtime lacks" in done.stderr
    assert "CPUExecutionProvider" in done.stderr
    engine = (tmp_path / "app" / "fashion0_app" / "engine.py").read_text()
    assert "INT8 = True\nFP16 = False\n" in engine


FINDING = """
import torch
from torch import nn


class Detector(nn.Module):
    def forward(self, x):
        boxes = torch.tensor([[[5, 5, 4, 4], [5, 5, 4, 5], [5, 5, 4, 4], [50, 5, 4, 4]]], dtype=torch.float32)
        scores = torch.tensor([[[0.6, 0], [0.9, 0], [0, 0.5], [0.1, 0.2]]])
        nothing = x.mean() * 0
        return boxes + nothing, scores + nothing


class Segmenter(nn.Module):
    def forward(self, x):
        return torch.cat([x[:, :1], 0.5 - x[:, :1]], dim=1)


def detector():
    return Detector()


def segmenter():
    return Segmenter()
"""
FINDING_SETTINGS = """
[model]
source = "net.py:{net}"
[input]
kind = "image"
size = [16, 16]
resize = "letterbox"
{outputs}
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
"""
BOXES = """
[[output]]
kind = "detection"
name = "boxes"
box_format = "cxcywh"
[[output]]
kind = "detection"
name = "scores"
labels = ["cat", "dog"]
threshold = 0.3
"""
MAP = """
[output]
kind = "segmentation"
labels = ["bright", "dark"]
"""
FOUND = {
    "detector": ["0.9000  cat  [6.0, -3.0, 14.0, 7.0]", "0.5000  dog  [6.0, -2.0, 14.0, 6.0]"],
    "segmenter": ["0.7500  dark", "0.2500  bright"],
}


@pytest.fixture(scope="module")
def finding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles of a detector and of a segmenter, and a picture whose left half is white."""
    import edgepack

    home = tmp_path_factory.mktemp("finding")
    for net, outputs in (("detector", BOXES), ("segmenter", MAP)):
        (home / net).mkdir()
        (home / net / "net.py").write_text(FINDING)
        (home / net / "edgepack.toml").write_text(FINDING_SETTINGS.format(net=net, outputs=outputs))
        edgepack.build(str(home / net), scheme="fp32", out=str(home / net / "out"))
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(home / "half.png")
    return home


@pytest.mark.parametrize("net", FOUND)
def test_the_python_app_tells_what_was_found_and_where(finding: Path, net: str) -> None:
    folder = finding / net / "out" / "raspberry-pi-5" / "app"
    line = [sys.executable, "-m", f"{net}_app", str(finding / "half.png")]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [each.strip() for each in done.stdout.splitlines()[1:]] == FOUND[net]


@pytest.mark.skipif(bool(cpp.absent()), reason=f"C++ apps are not built: {cpp.absent()}")
@pytest.mark.parametrize("net", FOUND)
def test_so_tells_the_c_app(finding: Path, tmp_path: Path, net: str) -> None:
    folder = finding / net / "out" / "raspberry-pi-5"
    render.rendered(folder, tmp_path / "app", Choice("linux-cpp"), force=False)
    assert cpp.built(tmp_path / "app", "build", cpp.QUICK) == ""
    done = cpp.run(["build/app", finding / "half.png"], tmp_path / "app", cpp.environment())
    assert done.returncode == 0, done.stderr
    assert [each.strip() for each in done.stdout.splitlines()[1:]] == FOUND[net]


def test_a_camera_s_frames_are_labelled(folder: Path, tmp_path: Path) -> None:
    pictures = sorted(cases.PICTURES.glob("*.png"))[:3]
    for number, path in enumerate(pictures):
        with Image.open(path) as picture:
            picture.convert("RGB").save(tmp_path / f"frame{number}.png")
    # a row of files stands in for a camera: OpenCV reads both through the same class
    line = [
        sys.executable,
        "-m",
        "fashion0_app",
        "--camera",
        str(tmp_path / "frame%d.png"),
        "--monitor",
        "m.json",
    ]
    done = subprocess.run(line, cwd=folder / "app", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [each.split(maxsplit=1)[1] for each in done.stdout.splitlines()[1::2]]
    assert [cases.called(each) for each in said] == [each.stem for each in pictures]
    assert json.loads((folder / "app" / "m.json").read_text())["count"] == 3
    again = subprocess.run(
        [*line, "--frames", "2"], cwd=folder / "app", capture_output=True, text=True, check=False
    )
    assert again.stdout.count("frame") == 2


@pytest.mark.parametrize(
    ("device", "words"), [("pi", "python3-picamera2"), ("/none", "cannot be opened as a camera")]
)
def test_what_is_no_camera_is_said(folder: Path, device: str, words: str) -> None:
    line = [sys.executable, "-m", "fashion0_app", "--camera", device]
    done = subprocess.run(line, cwd=folder / "app", capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
