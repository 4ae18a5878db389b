"""Published ImageNet weights on real photographs; fetches 242 MB once, so it is marked slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import edgepack
from edgepack import formats, plan, target
from edgepack.compress import ptq
from edgepack.compress.calibration import Calibration
from edgepack.emulator.job import Job, write_samples
from edgepack.evaluate import checks, host
from edgepack.evaluate.model_file import Reference
from edgepack.model import source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe
from edgepack.report import Report

IMAGENET = Path(__file__).resolve().parent.parent / "examples" / "imagenet"
FORMATS = ("onnx", "executorch", "torchscript")


@pytest.fixture(scope="module", autouse=True)
def fetched(users_cache: None) -> None:
    line = [sys.executable, str(IMAGENET / "fetch.py")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _built(net: str, out: Path, **options: object) -> Report:
    (report,) = edgepack.build(
        str(IMAGENET / net),
        targets=["pixel-8"],
        formats=FORMATS,
        out=str(out),
        **options,  # type: ignore[arg-type]
    )
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "agreement", "sqnr_db"),
    [("mobilenet_v2", 95.0, 20.0), ("efficientnet_lite0", 98.0, 25.0), ("squeezenet1_1", 95.0, 30.0)],
)
def test_int8_stays_with_float_by_default(net: str, agreement: float, sqnr_db: float, tmp_path: Path) -> None:
    report = _built(net, tmp_path / "out")
    assert report.passed
    assert {each.format for each in report.artifacts} == set(FORMATS)
    for each in report.artifacts:
        assert each.scheme == "w8a8"
        assert each.size_ratio <= 0.30
        assert each.figures.agreement is not None
        assert each.figures.agreement >= agreement
        assert each.figures.sqnr_db is not None
        assert each.figures.sqnr_db >= sqnr_db


@pytest.mark.slow
def test_channels_scaled_by_powers_of_two_break_naive_int8_and_not_ours(tmp_path: Path) -> None:
    folder = IMAGENET / "squeezenet1_1"
    scaled = tmp_path / "scaled.safetensors"
    weights = load_file(folder / "weights.safetensors")
    draw = np.random.default_rng(0)
    squeezes = [name for name in weights if name.endswith("squeeze.weight")]
    assert len(squeezes) == 8
    for name in squeezes:
        fire = name.removesuffix("squeeze.weight")
        powers = weights[name].new_tensor(2.0 ** draw.integers(-5, 6, len(weights[name])))
        weights[name] = weights[name] * powers.reshape(-1, 1, 1, 1)
        weights[f"{fire}squeeze.bias"] = weights[f"{fire}squeeze.bias"] * powers
        for reader in ("expand1x1", "expand3x3"):
            weights[f"{fire}{reader}.weight"] = weights[f"{fire}{reader}.weight"] / powers.reshape(
                1, -1, 1, 1
            )
    save_file({name: value.contiguous() for name, value in weights.items()}, scaled)

    report = _built("squeezenet1_1", tmp_path / "out", weights=str(scaled), scheme="w8a8")
    least = min(each.figures.agreement or 0.0 for each in report.artifacts)
    naive = {name: _naive(scaled, name, tmp_path / name) for name in FORMATS}
    assert max(naive.values()) < 75
    assert least >= 94
    assert min(each.figures.sqnr_db or 0.0 for each in report.artifacts) >= 34, (
        "as of the net that is not scaled"
    )
    assert least > max(naive.values()) + 20


def _naive(weights: Path, name: str, scratch: Path) -> float:
    """Agreement of plain min-max int8 of the scaled network, in percent."""
    device = target.load("pixel-8")
    choices = BuildOptions(
        model=str(IMAGENET / "squeezenet1_1"), targets=("pixel-8",), formats=(name,), weights=str(weights)
    )
    loaded = source.load(plan.resolve(choices))
    recipe = Recipe("w8a8")
    ready = ptq.prepare(Calibration(loaded), recipe)
    scratch.mkdir()
    module = formats.load(name)
    path = scratch / f"naive{module.suffix}"
    module.export(ready, recipe, device, path)
    samples = scratch / "samples.npz"
    write_samples(loaded.evaluation.inputs, samples)
    run = host.run(Job(name, str(path), str(samples)), scratch / "run", 600)
    assert isinstance(run, host.Run)
    found = checks.figures(run, Reference((), loaded.reference, loaded.contract, loaded.judged))
    assert found.agreement is not None
    return found.agreement
