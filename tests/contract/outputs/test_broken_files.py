"""Files that are broken on purpose fail by the metric of their output's kind; a good int8 file passes.

One network has an output of each kind. Its int8 `.onnx` file is broken at one output at a time: with a bound
on SQNR alone, most of these files would pass.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from edgepack import formats, plan, target
from edgepack.arrays import Array, Sample
from edgepack.compress import ptq
from edgepack.compress.calibration import Calibration
from edgepack.evaluate import checks
from edgepack.evaluate.host import Run
from edgepack.evaluate.model_file import Reference
from edgepack.model import source
from edgepack.model.inference import one_thread
from edgepack.model.source import Source
from edgepack.options import BuildOptions, CompressionOptions
from edgepack.report import Check

PI = target.load("raspberry-pi-5")
SETTINGS = """
[model]
source = "scene.py:net"
weights = "weights.pt"
[input]
kind = "tensor"
shape = [1, 3, 16, 16]
[[output]]
kind = "detection"
name = "boxes"
box_format = "cxcywh"
box_units = "relative"
threshold = 0.4
[[output]]
kind = "detection"
name = "scores"
activation = "sigmoid"
[[output]]
kind = "regression"
name = "numbers"
[[output]]
kind = "binary"
name = "decision"
[[output]]
kind = "multilabel"
name = "tags"
[[output]]
kind = "segmentation"
name = "pixels"
[[output]]
name = "map"
[[output]]
kind = "embedding"
name = "vector"
[[output]]
kind = "sequence"
name = "steps"
blank = 0
[data]
calib = "calib.npz"
eval = "eval.npz"
[build]
targets = ["raspberry-pi-5"]
"""


@dataclass(frozen=True)
class Scene:
    """The network in int8, and what it was made of."""

    path: Path
    source: Source

    @property
    def names(self) -> list[str]:
        return [output.name for output in self.source.contract.outputs]

    def outputs(self, path: Path) -> tuple[Sample, ...]:
        run = formats.load("onnx").load(path)
        return tuple(run(sample) for sample in self.source.evaluation.inputs)

    def checked(self, path: Path, goal: CompressionOptions = CompressionOptions()) -> list[Check]:  # noqa: B008
        """The checks of quality of a file."""
        loaded = self.source
        reference = Reference((), loaded.reference, loaded.contract, loaded.judged, loaded.evaluation.truth)
        run = Run(self.outputs(path), 0.0, 1.0, None, None)
        figures = checks.figures(run, reference)
        return checks.quality(figures, PI.budget, goal, "w8a8")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    shutil.copyfile(Path(__file__).with_name("scene.py"), folder / "scene.py")
    (folder / "edgepack.toml").write_text(SETTINGS)
    spec = importlib.util.spec_from_file_location("scene_of_all_kinds", folder / "scene.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with one_thread():
        torch.manual_seed(0)
        model = module.net()
        module.train(model)
        torch.save(model.state_dict(), folder / "weights.pt")
        np.savez(folder / "calib.npz", inputs=module.scenes(64, 1)[0])
        images, place, number, _ = module.scenes(80, 2)
        corners = np.concatenate([place - 0.15, place + 0.15], 1)[:, None]
        np.savez(folder / "eval.npz", inputs=images, boxes=corners, classes=number[:, None])
        choices = BuildOptions(model=str(folder), formats=("onnx",), out=str(folder / "out"))
        loaded = source.load(plan.resolve(choices))
        calibration = Calibration(loaded)
        recipe = ptq.choose_recipe(calibration, "w8a8")
        path = folder / "scene.onnx"
        formats.load("onnx").export(ptq.prepare(calibration, recipe), recipe, PI, path)
    return Scene(path, loaded)


def _replaced(path: Path, name: str, out: Path, operator: str, value: Array | None) -> Path:
    """The model with `operator` between an output and what computes it, and a constant as its last input."""
    model = onnx.load(path)
    inner = f"{name}_whole"
    for node in model.graph.node:
        for places in (node.input, node.output):
            for n, each in enumerate(places):
                if each == name:
                    places[n] = inner
    inputs = [inner] if value is None else [inner, f"{name}_constant"]
    if operator == "Constant":
        assert value is not None
        model.graph.node.append(helper.make_node("Identity", [f"{name}_constant"], [name]))
    else:
        model.graph.node.append(helper.make_node(operator, inputs, [name]))
    if value is not None:
        model.graph.initializer.append(numpy_helper.from_array(value, f"{name}_constant"))
    onnx.save(model, out)
    return out


def _failed(made: list[Check]) -> set[tuple[str, str]]:
    return {(check.output, check.name) for check in made if check.verdict == "fail"}


def test_a_good_int8_file_passes_by_every_metric(scene: Scene) -> None:
    made = scene.checked(scene.path)
    assert _failed(made) == set(), made
    metrics = [(check.output, check.name) for check in made if check.name != "sqnr"]
    assert metrics == [
        ("boxes", "matched boxes"),
        ("boxes", "matched boxes at IoU 0.75"),
        ("numbers", "R2"),
        ("decision", "equal decisions"),
        ("decision", "F1 of the rarer decision"),
        ("tags", "equal decisions"),
        ("tags", "F1 of the rarer decision"),
        ("tags", "worst label"),
        ("pixels", "equal pixels"),
        ("pixels", "mIoU"),
        ("map", "equal values"),
        ("map", "mIoU"),
        ("vector", "nearest neighbours"),
        ("vector", "least cosine"),
        ("steps", "equal steps"),
        ("steps", "edit distance"),
    ]


def test_the_labels_of_boxes_give_the_map_of_both(scene: Scene) -> None:
    made = scene.checked(scene.path, CompressionOptions(max_drop=100, min_agreement=99.9999))
    (drop,) = [check for check in made if check.name == "drop"]
    assert (drop.output, drop.verdict) == ("boxes", "pass")
    limits = {(check.name, check.limit) for check in made if check.name in ("R2", "equal steps", "mIoU")}
    assert limits == {("R2", 99.9999), ("equal steps", 99.9999), ("mIoU", 80)}


def _mean(scene: Scene, name: str) -> Array:
    n = scene.names.index(name)
    rows = np.concatenate([row[n] for row in scene.source.reference])
    return np.asarray(rows.mean(axis=0, keepdims=True).astype(rows.dtype))


@pytest.mark.parametrize(
    ("name", "operator", "value", "failing"),
    [
        ("numbers", "Constant", "mean", {("numbers", "R2")}),
        ("numbers", "Add", [[1.5, 0.0]], {("numbers", "R2")}),
        ("numbers", "Mul", [[1.0, 0.5]], {("numbers", "R2")}),
        ("decision", "Add", [[4.0]], {("decision", "equal decisions")}),
        ("decision", "Constant", "mean", {("decision", "equal decisions")}),
        ("tags", "Add", [[0.0, 40.0, 0.0]], {("tags", "equal decisions"), ("tags", "worst label")}),
        ("pixels", "Constant", "mean", {("pixels", "mIoU")}),
        ("pixels", "Sub", [[[[0.0]], [[0.0]], [[9.0]], [[0.0]]]], {("pixels", "mIoU")}),
        ("map", "Constant", "zero", {("map", "mIoU")}),
        ("vector", "Constant", "mean", {("vector", "nearest neighbours")}),
        ("steps", "Add", [[[9.0, 0.0, 0.0, 0.0]]], {("steps", "edit distance")}),
        ("boxes", "Add", [[[0.12, 0.0, 0.0, 0.0]]], {("boxes", "matched boxes")}),
        ("boxes", "Add", [[[0.05, 0.0, 0.0, 0.0]]], {("boxes", "matched boxes at IoU 0.75")}),
        ("scores", "Sub", [[[0.0, 20.0, 0.0]]], {("boxes", "matched boxes")}),
    ],
)
def test_a_broken_output_fails_by_its_metric(
    scene: Scene,
    tmp_path: Path,
    name: str,
    operator: str,
    value: object,
    failing: set[tuple[str, str]],
) -> None:
    constant = _mean(scene, name) if isinstance(value, str) else np.asarray(value, np.float32)
    constant = constant * 0 if value == "zero" else constant
    path = _replaced(scene.path, name, tmp_path / "broken.onnx", operator, constant)
    failed = _failed(scene.checked(path))
    assert failing <= failed
    of_output = "boxes" if name == "scores" else name
    assert {output for output, _ in failed} == {of_output}, "the other outputs are as they were"
