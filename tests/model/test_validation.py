"""Checks of labels, scores and repeatability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import Net, exported, refused, work_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize("count", [3, 5])
def test_labels_fewer_or_more_than_scores(folder: Path, count: int) -> None:
    (folder / "l.txt").write_text("\n".join(f"class {n}" for n in range(count)))
    assert f"there are {count} labels, but the model returns 4 scores" in refused(labels="l.txt")


def test_samples_of_a_class_that_the_model_does_not_score(folder: Path) -> None:
    np.savez(folder / "e.npz", inputs=np.zeros((2, 8), "f4"), labels=[0, 4])
    assert "class 4 does not exist, the model returns 4 scores" in refused(eval="e.npz")


def test_a_classifier_whose_output_is_no_row_of_scores(folder: Path) -> None:
    (folder / "l.txt").write_text("a\nb\n")
    said = refused(model="nets.py:net", inputs=("tensor:2x8",), labels="l.txt")
    assert "a classifier's output is [1, classes]; this one is [2, 4]" in said


def test_dropout_left_on_in_an_exported_program(folder: Path) -> None:
    exported(folder / "training.pt2", Net().train(), torch.zeros(1, 8))
    said = refused(model="training.pt2", inputs=())
    assert "returns different outputs for the same sample" in said
    assert "dropout" in said
