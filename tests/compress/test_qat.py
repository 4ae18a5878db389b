"""Quantization-aware training: the written file is closer to the float model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepack import formats, target
from edgepack.compress import ptq, qat
from edgepack.compress.calibration import Calibration
from edgepack.compress.distillation import TrainingBudget
from edgepack.model import inference
from edgepack.model.source import Source
from edgepack.recipe import Recipe

DEVICES = {"coreml": "iphone-16", "executorch": "pixel-8"}
RECIPES = {
    "p4": Recipe("p4", gptq=True),
    "w4": Recipe("w4"),
    "w4d": Recipe("w4d"),
}
"""The first recipe of the search, by scheme."""
SAMPLES = 300
STEPS = 40


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with inference.one_thread():
        yield


def _sqnr(given: Source, recipe: Recipe, name: str, folder: Path) -> float:
    """SQNR of a written file's scores in dB, less each sample's mean, which probabilities do not contain."""
    module = formats.load(name)
    path = folder / f"{len(list(folder.iterdir()))}{module.suffix}"
    exported = module.export(given, recipe, target.load(DEVICES[name]), path)
    run = module.load(path)
    rows = range(SAMPLES)
    exact = np.stack([given.reference[row][0] for row in rows]).astype(np.float64)
    found = np.stack([run(given.evaluation.inputs[row])[0] for row in rows])
    if exported.activation == "softmax":
        found = np.log(found.clip(1e-12))
    exact, found = (each - each.mean(-1, keepdims=True) for each in (exact, found))
    return 10 * float(np.log10(np.sum(exact**2) / np.sum((found - exact) ** 2)))


def test_labels_are_not_used(fashion: Source, tmp_path: Path) -> None:
    assert fashion.calib is not None
    misled = replace(fashion, calib=replace(fashion.calib, labels=(0,) * len(fashion.calib)))
    trained, _ = qat.train(
        misled, Recipe("w4d"), TrainingBudget(0.0, STEPS, 0), formats.load("executorch").weight_storage()
    )
    before, after = (_sqnr(each, Recipe("w4d"), "executorch", tmp_path) for each in (fashion, trained))
    assert after > before + 0.5


@pytest.mark.parametrize(("name", "scheme"), [("coreml", "p4"), ("coreml", "w4"), ("executorch", "w4d")])
def test_training_improves_the_written_file(fashion: Source, name: str, scheme: str, tmp_path: Path) -> None:
    recipe = RECIPES[scheme]
    ready = ptq.prepare(Calibration(fashion), recipe)
    trained, (note, *_) = qat.train(
        ready, recipe, TrainingBudget(0.0, STEPS, 0), formats.load(name).weight_storage()
    )
    assert note.startswith(f"quantization-aware training of {scheme}, {STEPS} steps: validation SQNR ")
    before, after = (_sqnr(each, recipe, name, tmp_path) for each in (ready, trained))
    assert after > before + 0.5
