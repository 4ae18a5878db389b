"""The evaluator held against Core ML: here by answers that stand for Core ML's, on macOS by its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgepack import formats, target
from edgepack.evaluate import coreml_reference
from edgepack.evaluate.model_file import ModelFile
from edgepack.formats import coreml
from edgepack.model.source import Source
from edgepack.recipe import Recipe

pytest.importorskip("coremltools")


@pytest.fixture
def package(small_source: Source, tmp_path: Path) -> Path:
    path = tmp_path / "net.mlpackage"
    formats.load("coreml").export(small_source, Recipe("fp16"), target.load("iphone-15"), path)
    return path


def test_how_far_apart_they_are_is_told(package: Path, small_source: Source) -> None:
    inputs = small_source.evaluation.inputs[:3]
    run = coreml.evaluated(package)
    same = tuple(run(sample) for sample in inputs)
    assert coreml_reference.compared(package, inputs, same) == (
        "the evaluator in torch and Core ML: cosine 1 on 3 samples, largest difference 0 of the largest value"
    )
    other = tuple(tuple(np.roll(each, 1, -1) for each in row) for row in same)
    assert "cosine 1 on" not in coreml_reference.compared(package, inputs, other)


def test_a_package_that_cannot_be_evaluated_says_so(tmp_path: Path) -> None:
    (tmp_path / "noise.mlmodel").write_bytes(b"\x07noise")
    said = coreml_reference.compared(tmp_path / "noise.mlmodel", (), ())
    assert said.startswith("the evaluator in torch could not be compared with Core ML: ")


def test_only_what_core_ml_ran_is_compared(package: Path, small_source: Source) -> None:
    file = ModelFile(package, "coreml", "fp16")
    inputs = small_source.evaluation.inputs[:2]
    here = tuple(coreml.load(package)(sample) for sample in inputs)
    found = coreml_reference.notes(file, inputs, here)
    if sys.platform == "darwin":
        (note,) = found
        assert "cosine 0.99" in note or "cosine 1 " in note
    else:
        assert found == ()
