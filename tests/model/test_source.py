"""Sources: a model in any form is captured with its contract, and what is wrong with it is said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgepack import plan
from edgepack.contract import ImageInput, TensorInput
from edgepack.errors import EdgepackError, PlanError, SourceError
from edgepack.model import source
from edgepack.options import BuildOptions

NETS = """
import sys
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, classes)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.first(x))


class Wants(nn.Module):
    def __init__(self, classes):
        super().__init__()


class Group:
    class Inner(Net):
        pass


class Forward(nn.Module):
    answer = staticmethod(lambda x: x)

    def forward(self, x):
        return self.answer(x)


def forward(answer):
    def made():
        net = Forward()
        net.answer = answer
        return net
    return made


net = Net()
model = Net
number = 3
sequential = nn.Sequential(nn.Linear(8, 4), nn.ReLU())

def gives_three():
    return 3

def breaks():
    raise RuntimeError("no such backbone")

def quits():
    sys.exit("bye")


class Two(nn.Module):
    def forward(self, x, y):
        return {"sum": x + y, "parts": [x, (y * 2,)]}


class Picky(nn.Module):
    def forward(self, x):
        raise ValueError("I take pictures of cats only")


several = forward(lambda x: (x, x + 1, x * 2))
with_none = forward(lambda x: (x, None))
word = forward(lambda x: "cat")
nothing = forward(lambda x: ())
nan = forward(lambda x: x / 0 * 0)
infinite = forward(lambda x: (x, x.abs() / 0))
complex_ = forward(torch.fft.fft)
half = forward(lambda x: x.bfloat16())
sparse = forward(lambda x: x.to_sparse())
noisy = forward(lambda x: x + torch.rand_like(x))
branches = forward(lambda x: x if x.sum() > 0 else -x)
leaves = forward(lambda x: sys.exit(3))
grey = forward(lambda x: x.mean((2, 3)))
"""


def load(
    model: str = "nets.py:net", inputs: tuple[str, ...] = ("tensor:1x8",), **choices: Any
) -> source.Source:
    choices = {"targets": ("raspberry-pi-5",), "formats": ("onnx",), **choices}
    return source.load(plan.resolve(BuildOptions(model=model, inputs=inputs, **choices)))


def refused(kind: type[EdgepackError] = SourceError, **choices: Any) -> str:
    with pytest.raises(kind) as raised:
        load(**choices)
    return f"{raised.value}\n{raised.value.hint}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where we stand: a folder called `work` with nets.py."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "nets.py").write_text(NETS)
    monkeypatch.chdir(work)
    return work


class Net(nn.Module):
    """As the one of nets.py, for files that are made here."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.drop(self.first(x))
        return out


def exported(path: Path, net: nn.Module, *args: torch.Tensor, **keys: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, args, **keys), path)


def scripted(path: Path, net: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        torch.jit.script(net).save(path)


# Forms of a model


@pytest.mark.parametrize("name", ["net", "Net", "model", "Group.Inner", "sequential"])
def test_a_module_or_what_gives_one(name: str) -> None:
    found = load(f"nets.py:{name}")
    assert len(found.evaluation) == len(found.reference)
    assert found.reference[0][0].shape == (1, 4)
    for sample, outputs in zip(found.evaluation.inputs, found.reference):
        (again,) = found.exported.module()(*source.tensors(sample))
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
        wanted = Net().eval()(*source.tensors(found.evaluation.inputs[0]))
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
    assert "holds more than tensors" in refused(model="whole.pt")
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


def test_answers_are_a_flat_tuple_whatever_the_model_gives() -> None:
    found = load("nets.py:Two", ("a=tensor:1x8", "b=tensor:1x8"))
    a, b = found.evaluation.inputs[0]
    wanted = {(a + b).tobytes(), a.tobytes(), (b * 2).tobytes()}
    assert {each.tobytes() for each in found.reference[0]} == wanted
    assert [each.name for each in found.contract.outputs] == ["output", "output_1", "output_2"]


def test_parameters_have_names_that_begin_with_a_letter() -> None:
    assert all(name[0].isalpha() for name in load("nets.py:sequential").exported.state_dict)


def test_free_dimensions_are_free() -> None:
    found = load(inputs=("tensor:Nx8",))
    (out,) = found.free.module()(torch.zeros(5, 8))
    assert out.shape == (5, 4)
    assert found.exported is not found.free
    fixed = load()
    assert fixed.exported is fixed.free


# Contract and samples


def test_labels_of_calibration_samples_are_read_where_recovery_learns_from_them(folder: Path) -> None:
    for name in ("c.npz", "e.npz"):
        np.savez(folder / name, inputs=np.zeros((2, 8), "f4"), labels=[0, 3])
    without = load(calib="c.npz", eval="e.npz")
    with_recovery = load(calib="c.npz", eval="e.npz", prune="0.5", recover=1.0)
    assert without.calib is not None
    assert with_recovery.calib is not None
    assert without.calib.labels is None
    assert with_recovery.calib.labels == (0, 3)


def test_labels_make_a_classifier(folder: Path) -> None:
    (folder / "l.txt").write_text("a\nb\nc\nd\n")
    contract = load(labels="l.txt").contract
    assert contract.classes is not None
    assert contract.classes.labels == ("a", "b", "c", "d")


def test_labels_of_samples_make_a_classifier_and_that_is_noted(folder: Path) -> None:
    np.savez(folder / "e.npz", inputs=np.zeros((2, 8), "f4"), labels=[0, 3])
    found = load(eval="e.npz")
    assert found.contract.classes is not None
    assert any("taken for scores of classes" in note for note in found.notes)


def test_one_set_is_split_and_that_is_noted(folder: Path) -> None:
    np.save(folder / "c.npy", np.random.default_rng(0).standard_normal((9, 8)))
    found = load(calib="c.npy")
    assert found.calib is not None
    assert (len(found.calib), len(found.evaluation)) == (6, 3)
    assert any("one set is given" in note for note in found.notes)
    assert any("only 6 calibration samples" in note for note in found.notes)


def test_noise_is_owned_up_to() -> None:
    assert any("judged on noise" in note for note in load().notes)


def test_torchvision_brings_its_contract_and_a_larger_size_by_flag_scales_the_resize(folder: Path) -> None:
    from edgepack.model import torchvision

    net = torchvision.build("shufflenet_v2_x0_5")
    torch.save(net.state_dict(), folder / "w.pth")
    found = load("torchvision:shufflenet_v2_x0_5", ("image:288",), weights="w.pth")
    (taken,) = found.contract.inputs
    assert isinstance(taken, ImageInput)
    assert (taken.size, taken.resize_to) == ((288, 288), round(288 * 256 / 224))
    assert taken.mean == (0.485, 0.456, 0.406)
    assert found.contract.classes is not None
    assert found.contract.classes.labels[0] == "tench"
    assert found.contract.classes.activation == "softmax"
    assert any("assumed of w.pth" in note for note in found.notes)
    with torch.no_grad():
        wanted = net.eval()(*source.tensors(found.evaluation.inputs[0]))
    np.testing.assert_allclose(found.reference[0][0], wanted.numpy(), atol=1e-6)


def test_torchvision_without_weights_downloads_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    said = refused(model="torchvision:shufflenet_v2_x0_5", inputs=())
    assert "there are no weights for torchvision:shufflenet_v2_x0_5" in said
    assert "shufflenetv2_x0.5" in said
    assert "did you mean 'resnet18'?" in refused(model="torchvision:resnet81", inputs=())


# What is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nett", "nets.py has no 'nett': did you mean 'net'?"),
        ("Group.Outer", "has no 'Group.Outer'"),
        ("number", "gives no torch.nn.Module, but int"),
        ("gives_three", "gives no torch.nn.Module, but int"),
        ("breaks", "nets.py:breaks() raises RuntimeError: no such backbone"),
        ("quits", "nets.py:quits() raises SystemExit: bye"),
        ("Wants", "missing 1 required positional argument: 'classes'"),
        ("Picky", "the model raises on float32 [1, 8]: ValueError: I take pictures of cats only"),
        ("leaves", "the model raises on float32 [1, 8]: SystemExit: 3"),
        ("with_none", "the model must answer with tensors"),
        ("word", "the model must answer with tensors"),
        ("nothing", "the model must answer with tensors"),
        ("nan", "answers NaN or infinity (output 0, sample 0)"),
        ("infinite", "answers NaN or infinity (output 1, sample 0)"),
        ("complex_", "torch.complex64"),
        ("half", "torch.bfloat16"),
        ("sparse", "no plain tensor"),
        ("noisy", "answers differently to one and the same sample\nput it into eval mode"),
        ("branches", "torch.export cannot capture the model"),
    ],
)
def test_a_model_that_cannot_be_used(name: str, words: str) -> None:
    assert words in refused(model=f"nets.py:{name}")


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


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (("tensor:1x9",), "float32 [1, 9]: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (("tensor:1x8:int64",), "the model raises on int64 [1, 8]"),
        (("a=tensor:1x8", "b=tensor:1x8"), "the model raises on float32 [1, 8], float32 [1, 8]: TypeError"),
        (("a=tensor:1x8", "a=tensor:1x8"), "two inputs or outputs have one name: a, a"),
        (("image:8", "image:8"), "two inputs or outputs have one name: input, input"),
        (("output=tensor:1x8",), "two inputs or outputs have one name: output, output"),
        (("tensor:99999999999999x8",), "does not fit into this host's memory"),
        (("tensor:99999999999999999999x8",), "does not fit into this host's memory"),
    ],
)
def test_inputs_that_do_not_fit(inputs: tuple[str, ...], words: str) -> None:
    assert words in refused(inputs=inputs)


@pytest.mark.parametrize("count", [3, 5])
def test_labels_fewer_or_more_than_scores(folder: Path, count: int) -> None:
    (folder / "l.txt").write_text("\n".join(f"class {n}" for n in range(count)))
    assert f"there are {count} labels, but the model gives 4 scores" in refused(labels="l.txt")


def test_samples_of_a_class_that_the_model_does_not_score(folder: Path) -> None:
    np.savez(folder / "e.npz", inputs=np.zeros((2, 8), "f4"), labels=[0, 4])
    assert "class 4 does not exist, the model gives 4 scores" in refused(eval="e.npz")


def test_more_outputs_declared_than_given(folder: Path) -> None:
    text = '[model]\nsource = "nets.py:net"\n[[output]]\n[[output]]\nname = "b"\n'
    (folder / "edgepack.toml").write_text(text)
    assert "2 outputs are declared, the model gives 1" in refused()


def test_a_classifier_whose_answer_is_no_row_of_scores(folder: Path) -> None:
    (folder / "l.txt").write_text("a\nb\n")
    said = refused(model="nets.py:net", inputs=("tensor:2x8",), labels="l.txt")
    assert "a classifier's output is [1, classes]; this one is [2, 4]" in said


def test_dropout_left_on_in_an_exported_program(folder: Path) -> None:
    exported(folder / "training.pt2", Net().train(), torch.zeros(1, 8))
    said = refused(model="training.pt2", inputs=())
    assert "answers differently to one and the same sample" in said
    assert "dropout" in said


def test_files_that_are_no_models(folder: Path) -> None:
    for name in ("a.pt2", "a.pt"):
        (folder / name).write_bytes(b"hello")
    assert "a.pt2 is not an exported program" in refused(model="a.pt2", inputs=())
    assert "a.pt is not a file that torch.save wrote" in refused(model="a.pt")
    torch.save(Net().state_dict(), folder / "w.pt")
    said = refused(model="w.pt")
    assert "w.pt holds weights without a model" in said
    assert "--weights w.pt" in said


def test_what_brings_its_own_weights_takes_no_others(folder: Path) -> None:
    scripted(folder / "a.pt", Net().eval())
    torch.save(Net().state_dict(), folder / "w.pth")
    assert "brings its own weights" in refused(PlanError, model="a.pt", weights="w.pth")
