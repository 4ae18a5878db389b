"""Loading: a model in any of its forms, with its weights, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_models import NETS, Net, exported, load, refused, scripted, work_folder

from edgepack.contract import TensorInput
from edgepack.errors import PlanError
from edgepack.model import inference


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["net", "Net", "model", "Group.Inner", "sequential"])
def test_a_module_or_a_callable_that_returns_one(name: str) -> None:
    found = load(f"nets.py:{name}")
    assert len(found.evaluation) == len(found.reference)
    assert found.reference[0][0].shape == (1, 4)
    for sample, outputs in zip(found.evaluation.inputs, found.reference):
        (again,) = found.exported.module()(*inference.tensors(sample))
        np.testing.assert_allclose(again.detach().numpy(), outputs[0], atol=1e-6)


@pytest.mark.parametrize(
    ("reference", "name"),
    [("nets.py:Net", "nets"), ("nets.py:model", "nets"), ("nets.py:sequential", "sequential")],
)
def test_a_model_is_called_by_the_first_word_that_tells(reference: str, name: str) -> None:
    assert load(reference).name == name


def test_a_model_is_in_eval_mode() -> None:
    found = load("nets.py:Net")
    with torch.no_grad():
        wanted = Net().eval()(*inference.tensors(found.evaluation.inputs[0]))
    np.testing.assert_allclose(found.reference[0][0], wanted.numpy(), atol=1e-6)


def test_weights_are_put_into_a_module(folder: Path) -> None:
    state = {key: value + 1 for key, value in Net().state_dict().items()}
    torch.save(state, folder / "w.pth")
    moved = load(weights="w.pth")
    assert not np.allclose(moved.reference[0][0], load().reference[0][0])
    assert any("no --weights" in note for note in load().notes)
    assert not any("no --weights" in note for note in moved.notes)


def test_torchscript(folder: Path) -> None:
    scripted(folder / "tiny.pt", Net().eval())
    found = load("tiny.pt")
    assert found.name == "tiny"
    np.testing.assert_allclose(found.reference[0][0], load().reference[0][0], atol=1e-6)


def test_a_saved_module_is_loaded_when_trusted(folder: Path) -> None:
    torch.save(Net(), folder / "whole.pt")
    assert "contains more than tensors" in refused(model="whole.pt")
    np.testing.assert_array_equal(load("whole.pt", trust_pickle=True).reference[0][0], load().reference[0][0])


def test_an_exported_program_brings_its_contract(folder: Path) -> None:
    batch = torch.export.Dim("batch")
    exported(folder / "tiny.pt2", Net().eval(), torch.zeros(3, 8), dynamic_shapes=({0: batch},))
    found = load("tiny.pt2", inputs=())
    (taken,) = found.contract.inputs
    assert isinstance(taken, TensorInput)
    assert taken.name == "x"
    assert taken.shape[1:] == (8,)
    assert isinstance(taken.shape[0], str)
    np.testing.assert_allclose(found.reference[0][0], load().reference[0][0], atol=1e-6)


def test_an_exported_program_s_keywords_are_inputs(folder: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, *, shift: torch.Tensor) -> torch.Tensor:
            return x - shift

    exported(folder / "two.pt2", Two(), torch.zeros(1, 8), kwargs={"shift": torch.ones(1, 8)})
    found = load("two.pt2", inputs=())
    assert [each.name for each in found.contract.inputs] == ["x", "shift"]
    x, shift = found.evaluation.inputs[0]
    np.testing.assert_array_equal(found.reference[0][0], x - shift)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere", "bad.py does not import: ModuleNotFoundError: No module named 'nowhere'"),
        ("def net(:", "does not import: SyntaxError"),
        ("raise SystemExit(3)", "does not import: SystemExit: 3"),
        ("1 / 0", "does not import: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_does_not_import(folder: Path, text: str, words: str) -> None:
    (folder / "bad.py").write_text(text)
    assert words in refused(model="bad.py:net")
    assert words.partition("does not")[2] in refused(model="bad:net")


def test_a_file_may_import_what_lies_beside_it(folder: Path) -> None:
    beside = folder / "beside"
    beside.mkdir()
    (beside / "layers_beside.py").write_text(NETS)
    (beside / "net.py").write_text("from layers_beside import Net as net")
    assert load("beside/net.py:net").name == "beside"


def test_files_that_are_no_models(folder: Path) -> None:
    for name in ("a.pt2", "a.pt"):
        (folder / name).write_bytes(b"hello")
    assert "a.pt2 is not an exported program" in refused(model="a.pt2", inputs=())
    assert "a.pt is not a file that torch.save wrote" in refused(model="a.pt")
    torch.save(Net().state_dict(), folder / "w.pt")
    said = refused(model="w.pt")
    assert "w.pt contains weights without a model" in said
    assert "--weights w.pt" in said


def test_what_brings_its_own_weights_takes_no_others(folder: Path) -> None:
    scripted(folder / "a.pt", Net().eval())
    torch.save(Net().state_dict(), folder / "w.pth")
    assert "contains its own weights" in refused(PlanError, model="a.pt", weights="w.pth")


def test_weights_of_double_precision_are_converted(folder: Path) -> None:
    text = "import torch\nfrom nets import Net\ntorch.set_default_dtype(torch.float64)\nnet = Net\n"
    (folder / "double.py").write_text(text + "made = Net()\ncalled = lambda: Net().double()")
    for name in ("made", "called"):
        found = load(f"double.py:{name}")
        assert "the model's weights are float64: converted to float32" in found.notes
        assert found.reference[0][0].dtype == np.float32
    assert not any("float64" in note for note in load("double.py:net").notes)


def test_a_class_that_needs_arguments(folder: Path) -> None:
    said = refused(model="nets.py:Wants")
    assert "missing 1 required positional argument: 'classes'" in said
    assert "def model(): return Wants(…)" in said
