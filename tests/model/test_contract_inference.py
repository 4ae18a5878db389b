"""The contract of a model: what is declared, what is inferred, and what contradicts the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_models import load, refused, work_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


def test_outputs_are_a_flat_tuple_whatever_the_model_returns() -> None:
    found = load("nets.py:Two", ("a=tensor:1x8", "b=tensor:1x8"))
    a, b = found.evaluation.inputs[0]
    wanted = {(a + b).tobytes(), a.tobytes(), (b * 2).tobytes()}
    assert {each.tobytes() for each in found.reference[0]} == wanted
    assert [each.name for each in found.contract.outputs] == ["output", "output_1", "output_2"]


def test_labels_make_a_classifier(folder: Path) -> None:
    (folder / "l.txt").write_text("a\nb\nc\nd\n")
    contract = load(labels="l.txt").contract
    assert contract.classes is not None
    assert contract.classes.labels == ("a", "b", "c", "d")


def test_labels_of_samples_make_a_classifier_and_that_is_noted(folder: Path) -> None:
    np.savez(folder / "e.npz", inputs=np.zeros((2, 8), "f4"), labels=[0, 3])
    found = load(eval="e.npz")
    assert found.contract.classes is not None
    assert any("treated as scores of classes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (("tensor:1x9",), "float32 [1, 9]: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (("tensor:1x8:int64",), "the model raises on int64 [1, 8]"),
        (("a=tensor:1x8", "b=tensor:1x8"), "takes fewer than 2 inputs: its forward takes (x)"),
        (("a=tensor:1x8", "a=tensor:1x8"), "two inputs or outputs have one name: a, a"),
        (("image:8", "image:8"), "two inputs or outputs have one name: input, input"),
        (("tensor:99999999999999x8",), "does not fit into this host's memory"),
        (("tensor:99999999999999999999x8",), "does not fit into this host's memory"),
    ],
)
def test_inputs_that_do_not_fit(inputs: tuple[str, ...], words: str) -> None:
    assert words in refused(inputs=inputs)


def test_more_outputs_declared_than_given(folder: Path) -> None:
    text = '[model]\nsource = "nets.py:net"\n[[output]]\n[[output]]\nname = "b"\n'
    (folder / "edgepack.toml").write_text(text)
    assert "2 outputs are declared, the model returns 1" in refused()


@pytest.mark.parametrize("name", [" ", "a\\nb", "a\\u202eb"])
def test_names_that_nothing_can_show(folder: Path, name: str) -> None:
    text = f'[model]\nsource = "nets.py:net"\n[[input]]\nkind = "tensor"\nshape = [1, 8]\nname = "{name}"\n'
    (folder / "edgepack.toml").write_text(text)
    assert "cannot have the name" in refused(inputs=())


def test_names_that_nobody_gave_avoid_those_that_were(folder: Path) -> None:
    assert [each.name for each in load(inputs=("output=tensor:1x8",)).contract.outputs] == ["model_output"]
    text = (
        '[model]\nsource = "nets.py:several"\n[[input]]\nkind = "tensor"\nshape = [1, 8]\nname = "output_1"\n'
    )
    (folder / "edgepack.toml").write_text(text + '[[output]]\nname = "output"\n[[output]]\n')
    found = load("nets.py:several", ())
    assert [each.name for each in found.contract.outputs] == ["output", "model_output_1", "output_2"]


def test_labels_of_one_score_are_used_and_those_that_nothing_uses_are_noted(folder: Path) -> None:
    np.savez(folder / "e.npz", inputs=np.ones((2, 8), "f4"), labels=[0, 1])
    (folder / "one.py").write_text("from torch import nn\nnet = nn.Linear(8, 1)\n")
    found = load("one.py:net", eval="e.npz")
    assert any("judged as kind 'binary'" in note for note in found.notes)
    text = "from torch import nn\nnet = nn.Sequential(nn.Linear(8, 6), nn.Unflatten(1, (2, 3)))\n"
    (folder / "map.py").write_text(text)
    found = load("map.py:net", eval="e.npz")
    assert any("the samples' labels are not used for output 'output'" in note for note in found.notes)
