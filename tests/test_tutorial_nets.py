"""The four networks that tutorials start from, from every form a model can be given in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack import formats, plan
from edgepack.model import source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES

ROOT = Path(__file__).resolve().parent.parent
NETS = ROOT / "examples" / "tutorial_nets"
ALL_FORMATS = str(ROOT / "tests" / "data" / "all-formats.toml")
SHAPES = {"lenet": "1x3x32x32", "mlp": "1x10", "mnist": "1x1x28x28", "linear": "1x784"}
FORMS = ("traced.pt", "scripted.pt", "exported.pt2", "weights.pth")


@pytest.fixture(
    scope="module",
    params=["linear", "mnist", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lenet", "mlp"))],
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A network's name, and the folder with every form of it, trained."""
    name = str(request.param)
    folder = tmp_path_factory.mktemp(name)
    command = [sys.executable, str(NETS / "train.py"), name, "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return name, folder


def _arguments(name: str, folder: Path, form: str) -> dict[str, object]:
    if form.startswith("weights"):
        return {"model": f"{NETS / 'nets.py'}:{name}", "weights": str(folder / form)}
    return {"model": str(folder / form)}


def test_all_formats_from_a_state_dict(trained: tuple[str, Path], tmp_path: Path) -> None:
    """Every artifact is run in its own runtime by a child, and stays close to the float model."""
    name, folder = trained
    (report,) = edgepack.build(
        f"{NETS / 'nets.py'}:{name}",
        targets=[ALL_FORMATS],
        weights=str(folder / "weights.safetensors"),
        inputs=[f"tensor:{SHAPES[name]}"],
        calib=str(folder / "samples.npz"),
        out=str(tmp_path / "out"),
    )
    assert report.passed, [artifact.checks for artifact in report.artifacts]
    assert {artifact.format for artifact in report.artifacts} == set(formats.names())
    for artifact in report.artifacts:
        if artifact.verdict == "pass":
            assert artifact.figures.accuracy is not None
            assert artifact.figures.accuracy_float is not None
            assert artifact.figures.accuracy_float > 70
            assert abs(artifact.figures.accuracy - artifact.figures.accuracy_float) <= 3


@pytest.mark.parametrize("form", FORMS)
def test_all_formats_from_any_form(trained: tuple[str, Path], form: str, tmp_path: Path) -> None:
    """From each form the same float answers, and files of every format that repeat them."""
    name, folder = trained
    choices = BuildOptions(
        targets=(ALL_FORMATS,),
        inputs=(f"tensor:{SHAPES[name]}",),
        eval=str(folder / "samples.npz"),
        out=str(tmp_path / "out"),
        **_arguments(name, folder, form),  # type: ignore[arg-type]
    )
    settled = plan.resolve(choices)
    loaded = source.load(settled)
    labels = np.asarray(loaded.evaluation.labels)
    tops = np.asarray([int(np.argmax(outputs[0])) for outputs in loaded.reference])
    assert np.mean(tops == labels) > 0.7
    target = settled.targets[0].target
    for step in settled.targets[0].steps:
        if not SCHEMES[step.scheme].is_float:
            continue
        module = formats.load(step.format)
        path = tmp_path / f"{name}{module.suffix}"
        module.export(loaded, Recipe(step.scheme), target, path)
        if module.availability().run:
            assert module.describe(path).operators
            continue
        runner = module.load(path)
        for sample, outputs in list(zip(loaded.evaluation.inputs, loaded.reference))[:16]:
            np.testing.assert_allclose(runner(sample)[0], outputs[0], rtol=1e-3, atol=1e-4)
