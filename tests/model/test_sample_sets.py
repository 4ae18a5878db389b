"""Which samples calibrate and which evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_models import load, work_folder

from edgepack.model import sample_sets


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


def test_labels_of_calibration_samples_are_read_where_recovery_learns_from_them(folder: Path) -> None:
    for name in ("c.npz", "e.npz"):
        np.savez(folder / name, inputs=np.zeros((2, 8), "f4"), labels=[0, 3])
    without = load(calib="c.npz", eval="e.npz")
    with_recovery = load(calib="c.npz", eval="e.npz", prune="0.5", recover=1.0)
    assert without.calib is not None
    assert with_recovery.calib is not None
    assert without.calib.labels is None
    assert with_recovery.calib.labels == (0, 3)


def test_one_set_is_split_and_that_is_noted(folder: Path) -> None:
    np.save(folder / "c.npy", np.random.default_rng(0).standard_normal((9, 8)))
    found = load(calib="c.npy")
    assert found.calib is not None
    assert (len(found.calib), len(found.evaluation)) == (6, 3)
    assert any("one set is given" in note for note in found.notes)
    assert any("only 6 calibration samples" in note for note in found.notes)


def test_evaluation_on_noise_is_noted() -> None:
    assert any("evaluated on noise" in note for note in load().notes)


def test_files_left_out_are_grouped_by_reason() -> None:
    files = (*(f"{n}.tif: 32 bits" for n in range(5)), "a.png: damaged", *(f"{n}.x: {n}" for n in range(9)))
    found = sample_sets._left_out(files)
    assert found[:2] == ["left out: 5 files, such as 0.tif: 32 bits", "left out: a.png: damaged"]
    assert (len(found), found[-1]) == (9, "left out: 3 more files")
