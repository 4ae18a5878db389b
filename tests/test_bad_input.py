"""Bad input ends in a sentence and an exit code, and leaves nothing behind.

Each test runs the command itself. What is left at OUT is looked at after every one of them.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RUN, Command, Ended
from PIL import Image
from torch import nn

from edgepack import resources

TARGET, PLAN, EXPORT, SOURCE, BUNDLE, INTERRUPTED = 2, 3, 4, 5, 6, 130
PI = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 16)
        self.second = nn.Linear(16, 4)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Picky(Net):
    def forward(self, x):
        if x.shape[1] != 3:
            raise ValueError(f"I want 3 columns, not {x.shape[1]}")
        return x


class Nan(Net):
    def forward(self, x):
        return torch.log(-super().forward(x).abs())


class Singular(nn.Module):
    def forward(self, x):
        x = x.reshape(-1, 2, 4)
        return torch.linalg.svdvals(x)  # torch alone has it


class Block(Net):
    def __init__(self):
        super().__init__()
        self.spread = nn.Linear(8, 8)
        self.block = nn.Sequential(nn.ReLU(), Singular())

    def forward(self, x):
        return self.block(self.spread(x))


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 40000)
        self.second = nn.Linear(40000, 4)

    def forward(self, x):
        return self.second(self.first(x))


def three():
    return 3
"""


QUANTIZED = """
import warnings
import torch
from nets import Net


def dynamic():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(Net().eval(), {torch.nn.Linear}, dtype=torch.qint8)
"""


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder, and what is in them."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Bench:
    """A folder with nets.py, and a build there that has to fail."""

    def __init__(self, folder: Path, command: Command) -> None:
        self.folder = folder
        self.command = command

    def arguments(self, model: str, *more: object, out: object = "out", **flags: object) -> list[str]:
        """`build MODEL` for a Raspberry Pi 5 as ONNX, with flags put in place of the usual ones."""
        given = {"target": "raspberry-pi-5", "format": "onnx", "input": "tensor:1x8", "out": out, **flags}
        pairs = [(f"--{name}", str(value)) for name, value in given.items() if value is not None]
        return ["build", model, *(word for pair in pairs for word in pair), *(str(each) for each in more)]

    def refused(self, code: int, model: str = "nets.py:Net", /, *more: object, **flags: object) -> str:
        """The error of a build that exits with `code`; nothing new may be in the folder then."""
        before = set(self.folder.iterdir())
        ended = self.command(*self.arguments(model, *more, **flags))
        assert ended.code == code, ended.err
        assert {path for path in self.folder.iterdir() if path.name != "__pycache__"} == before
        return ended.sentence()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Bench:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "nets.py").write_text(NETS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Bench(folder, command)


def shows(sentence: str, *words: str) -> None:
    for word in words:
        assert word in sentence, f"'{word}' is not in:\n{sentence}"


# The target


def test_a_target_that_does_not_exist(bench: Bench) -> None:
    said = bench.refused(TARGET, target="raspbery-pi-5")
    shows(said, "there is no target 'raspbery-pi-5'", "did you mean 'raspberry-pi-5'?", "`edgepack targets`")
    shows(bench.refused(TARGET, target="./my.toml"), "there is no target file my.toml")


def test_a_misspelt_key_in_a_target(bench: Bench) -> None:
    (bench.folder / "my.toml").write_text(PI.replace("threads", "thraeds"))
    said = bench.refused(TARGET, target="my.toml")
    shows(said, "my.toml", "unknown key 'thraeds'", "did you mean 'threads'?")


def test_a_misspelt_key_in_edgepack_toml(bench: Bench) -> None:
    (bench.folder / "edgepack.toml").write_text('[model]\nsource = "nets.py:Net"\n[input]\nkimd = "tensor"')
    said = bench.refused(PLAN, input=None)
    shows(said, "edgepack.toml", "'kind'")


# The model


def test_a_model_file_that_is_missing(bench: Bench) -> None:
    shows(bench.refused(SOURCE, "nots.py:Net"), "there is no file nots.py")
    shows(bench.refused(SOURCE, "gone.pt2"), "there is no model file gone.pt2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import torchfish", "ModuleNotFoundError: No module named 'torchfish'"),
        ("class Net(:", "SyntaxError"),
        ("raise OSError('a file of the model is gone')", "OSError: a file of the model is gone"),
        ("import sys; sys.exit(1)", "SystemExit: 1"),
    ],
)
def test_a_model_file_that_does_not_import(bench: Bench, text: str, words: str) -> None:
    (bench.folder / "bad.py").write_text(text)
    shows(bench.refused(SOURCE, "bad.py:Net"), "bad.py does not import: ", words)


def test_no_such_name_in_a_model_file(bench: Bench) -> None:
    shows(bench.refused(SOURCE, "nets.py:Nett"), "nets.py has no 'Nett'", "did you mean 'Net'?")


def test_what_returns_no_module(bench: Bench) -> None:
    shows(
        bench.refused(SOURCE, "nets.py:three"),
        "must be a torch.nn.Module or return one, not int",
    )


def test_a_model_that_raises_on_the_declared_input(bench: Bench) -> None:
    said = bench.refused(SOURCE, "nets.py:Picky")
    shows(said, "the model raises on float32 [1, 8]", "ValueError: I want 3 columns, not 8", "--input")


def test_nan_in_the_float_output(bench: Bench) -> None:
    said = bench.refused(SOURCE, "nets.py:Nan")
    shows(said, "the float model itself returns NaN or infinity", "output 0, sample 0")


def test_an_exported_program_with_its_dropout_left_on(bench: Bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dropping = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5)).train()
        torch.export.save(torch.export.export(dropping, (torch.zeros(1, 8),)), bench.folder / "net.pt2")
    said = bench.refused(SOURCE, "net.pt2", input=None)
    shows(said, "returns different outputs for the same sample", "eval mode", "dropout")


# Its weights


class Net(nn.Module):
    """The one of nets.py."""

    def __init__(self, inputs: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 16)
        self.second = nn.Linear(16, 4)


def test_weights_whose_keys_do_not_match(bench: Bench) -> None:
    state = {f"layers.{n}": value for n, value in enumerate(Net().state_dict().values())}
    torch.save(state, bench.folder / "w.pth")
    said = bench.refused(SOURCE, weights="w.pth")
    shows(
        said, "w.pth does not fit the model", "the file lacks first.weight, first.bias, second.weight and 1"
    )
    shows(said, "the model has no layers.0, ")


def test_weights_whose_shapes_do_not_match(bench: Bench) -> None:
    torch.save(Net(inputs=9).state_dict(), bench.folder / "w.pth")
    shows(bench.refused(SOURCE, weights="w.pth"), "first.weight is 16x9 in the file, 16x8 in the model")


def test_a_pickle_that_could_run_code_and_trust_that_opens_it(bench: Bench) -> None:
    given = {"state_dict": Net().state_dict(), "args": argparse.Namespace(lr=0.1)}
    torch.save(given, bench.folder / "w.pth")
    said = bench.refused(SOURCE, weights="w.pth")
    shows(said, "w.pth contains more than tensors", "could run code", "--trust-pickle")
    # trusted, it is opened, and the build comes as far as the answers
    said = bench.refused(SOURCE, "nets.py:Nan", "--trust-pickle", weights="w.pth")
    shows(said, "returns NaN")


# Samples and labels


def pictures(folder: Path) -> Path:
    folder.mkdir()
    for number, color in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (12, 10), color).save(folder / f"{number}.png")
    return folder


def test_a_calibration_folder_that_is_empty_or_holds_no_pictures(bench: Bench) -> None:
    (bench.folder / "photos").mkdir()
    line = {"input": "image:8", "calib": "photos"}
    shows(bench.refused(SOURCE, "nets.py:Picture", **line), "photos holds no images", ".jpg")
    (bench.folder / "photos" / "notes.txt").write_text("none yet")
    shows(bench.refused(SOURCE, "nets.py:Picture", **line), "photos holds no images")


def test_a_calibration_folder_of_broken_pictures_only(bench: Bench) -> None:
    photos = pictures(bench.folder / "photos")
    for path in photos.iterdir():
        path.write_bytes(path.read_bytes()[:45])
    said = bench.refused(SOURCE, "nets.py:Picture", input="image:8", calib="photos")
    shows(said, "none of the 4 images in photos can be read: 0.png: ")


def test_a_broken_picture_among_good_ones_is_named_and_left_out(bench: Bench) -> None:
    photos = pictures(bench.folder / "photos")
    (photos / "broken.png").write_bytes((photos / "0.png").read_bytes()[:45])
    line = bench.arguments("nets.py:Picture", input="image:8", calib="photos")
    ended = bench.command(*line)
    assert (bench.folder / "out" / "raspberry-pi-5" / "bundle.json").is_file(), ended.err
    shows(ended.out, "left out: broken.png: ")


def test_samples_that_are_not_there(bench: Bench) -> None:
    shows(bench.refused(SOURCE, calib="photos"), "there are no samples at photos")


def test_samples_whose_maker_raises(bench: Bench) -> None:
    (bench.folder / "data.py").write_text("def rows():\n    raise OSError('the share is not mounted')\n")
    said = bench.refused(SOURCE, calib="data.py:rows")
    shows(said, "data.py:rows raises OSError: the share is not mounted")


@pytest.mark.parametrize("count", [3, 5])
def test_labels_fewer_or_more_than_outputs(bench: Bench, count: int) -> None:
    (bench.folder / "labels.txt").write_text("".join(f"class {n}\n" for n in range(count)))
    said = bench.refused(SOURCE, labels="labels.txt")
    shows(said, f"there are {count} labels, but the model returns 4 scores")


def test_samples_of_a_class_that_there_is_not(bench: Bench) -> None:
    np.savez(bench.folder / "eval.npz", inputs=np.zeros((2, 8), "f4"), labels=[0, 7])
    shows(bench.refused(SOURCE, eval="eval.npz"), "class 7 does not exist", "returns 4 scores")


# Compression


def rows(folder: Path, name: str = "rows.npz", **more: Any) -> str:
    values = np.random.default_rng(0).standard_normal((48, 8)).astype("f4")
    np.savez(folder / name, **{"inputs": values, **more})
    return name


def test_a_recipe_that_names_a_layer_that_the_model_has_not(bench: Bench) -> None:
    (bench.folder / "r.toml").write_text("[[recipe]]\nscheme = 'w8'\n[recipe.layers]\nfrist = 'fp32'\n")
    said = bench.refused(PLAN, recipe="r.toml")
    shows(said, "the recipe names layer 'frist', which the model has not: did you mean 'first'?")
    shows(said, "`edgepack sensitivity` lists the layers")


def test_a_recipe_that_does_not_hold_together(bench: Bench) -> None:
    (bench.folder / "r.toml").write_text("[[recipe]]\nshceme = 'w8'\n")
    shows(bench.refused(PLAN, recipe="r.toml"), "r.toml", "did you mean 'scheme'?")
    shows(bench.refused(PLAN, recipe="gone.toml"), "there is no recipe gone.toml")
    (bench.folder / "r.toml").write_text("[[recipe]]\nscheme = 'w8'\n")
    said = bench.refused(PLAN, recipe="r.toml", scheme="w8a8")
    shows(said, "--recipe and --scheme exclude each other: give one of them")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"scheme": "int8"}, "there is no scheme 'int8'"),
        ({"prune": "1.5"}, "a share lies between 0 and 1"),
        ({"max-drop": -1}, "greater than or equal to 0"),
        ({"min-agreement": 101}, "less than or equal to 100"),
        ({"recover": 3, "search-budget": 2, "prune": 0.3}, "--recover 3 is longer than"),
        ({"recover": 3, "scheme": "fp32"}, "--recover has nothing to recover"),
        ({"scheme": "w8a8", "max-drop": 0, "min-agreement": 100}, "asks for int8 that is float"),
        ({"scheme": "w8a8"}, "onnx w8a8: no --calib"),
        ({"scheme": "p4"}, "onnx p4: onnx carries"),
    ],
)
def test_flags_that_contradict_themselves_or_each_other(
    bench: Bench, flags: dict[str, object], words: str
) -> None:
    shows(bench.refused(PLAN, **flags), words)


def test_an_agreement_that_noise_does_not_show(bench: Bench) -> None:
    wanted = "--min-agreement has no metric here: on noise, the outputs are judged by their SQNR alone"
    shows(bench.refused(PLAN, **{"min-agreement": 90}), wanted, "--calib or --eval", "[output]")
    path = bench.folder / "edgepack.toml"
    path.write_text('[model]\nsource = "nets.py:Net"\n[compress]\nmin_agreement = 90\n')
    shows(bench.refused(PLAN), wanted)


def test_a_drop_that_noise_does_not_show_and_labels_of_no_class(bench: Bench) -> None:
    said = bench.refused(PLAN, **{"max-drop": 1})
    shows(said, "--max-drop has no metric here", "[output]")
    bench.folder.joinpath("labels.txt").write_text("a\nb\nc\nd\n")
    rows(bench.folder, labels=np.full(48, 7))
    shows(bench.refused(SOURCE, **{"max-drop": 1}, calib="rows.npz"), "class 7 does not exist")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_calibration_sample_that_is_no_number(bench: Bench, value: float) -> None:
    rows(bench.folder, "eval.npz")
    broken = np.load(bench.folder / "eval.npz")["inputs"]
    broken[5, 3] = value
    flags = {"calib": rows(bench.folder, inputs=broken), "eval": "eval.npz", "scheme": "w8a8"}
    if np.isnan(value):
        shows(bench.refused(SOURCE, **flags), "sample 5 of ", "rows.npz contains NaN")
    else:
        ended = bench.command(*bench.arguments("nets.py:Net", **flags))
        assert ended.code == 0, ended.err


def test_calibration_samples_of_another_shape_or_type(bench: Bench) -> None:
    values = np.zeros((48, 9), "f4")
    said = bench.refused(SOURCE, calib=rows(bench.folder, inputs=values))
    shows(said, "'input' is 1x8, a sample is 1x9")
    said = bench.refused(SOURCE, calib=rows(bench.folder, inputs=np.array([["a"] * 8] * 48)))
    shows(said, "rows.npz")


@pytest.mark.parametrize("form", ["dynamic", "scripted"])
def test_a_model_that_is_quantized_already(bench: Bench, form: str) -> None:
    (bench.folder / "quantized.py").write_text(QUANTIZED)
    model, words = "quantized.py:dynamic", "it contains torch.ao.nn.quantized.dynamic.modules.linear.Linear"
    if form == "scripted":
        sys.path.insert(0, str(bench.folder))
        try:
            import quantized  # type: ignore[import-not-found]
        finally:
            sys.path.remove(str(bench.folder))
            sys.modules.pop("nets", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(quantized.dynamic(), torch.zeros(1, 8)), bench.folder / "q.pt")
        model, words = "q.pt", "it contains quantized:: operators"
    said = bench.refused(SOURCE, model)
    shows(said, "the model is already quantized", words, "give the float model")


def test_few_samples_are_warned_of_and_told_how_they_are_split(bench: Bench) -> None:
    few = np.random.default_rng(0).standard_normal((3, 8)).astype("f4")
    line = bench.arguments("nets.py:Net", calib=rows(bench.folder, inputs=few))
    ended = bench.command(*line)
    assert ended.code == 0, ended.err
    shows(ended.out, "calibrated on 2 of 3 samples of rows.npz", "evaluated on 1 of 3 samples of rows.npz")
    shows(ended.out, "only 2 calibration samples: ranges are rough")


# Formats


def test_a_toolchain_that_is_not_installed(
    bench: Bench, process: Command, without: Callable[..., dict[str, str]]
) -> None:
    line = bench.arguments("nets.py:Net", target="iphone-15", format="coreml")
    for name in ("build", "plan"):
        ended = process(name, *line[1:], env=without("coremltools"))
        assert ended.code == EXPORT
        said = ended.sentence()
        shows(said, "format coreml cannot be written here: coremltools not installed")
        shows(said, "pip install 'edgepack[coreml]'")
    assert [path.name for path in bench.folder.iterdir()] == ["nets.py"]


def test_an_operator_that_a_format_cannot_carry(bench: Bench) -> None:
    both = PI.replace('name = "executorch"', 'name = "torchscript"')
    (bench.folder / "both.toml").write_text(both)
    line = NETS.splitlines().index("        return torch.linalg.svdvals(x)  # torch alone has it")
    said = bench.refused(EXPORT, "nets.py:Block", target="both.toml")
    shows(said, "onnx cannot carry operator aten.", "svd", "in module 'block.1'")
    shows(said, f"{bench.folder / 'nets.py'}, line {line + 1})")
    shows(said, "these formats of both can carry it: --format torchscript")


def test_an_operator_that_no_format_of_the_target_can_carry(bench: Bench) -> None:
    (bench.folder / "one.toml").write_text(re.sub(r'\[\[formats]]\nname = "executorch"\n.*\n', "", PI))
    said = bench.refused(EXPORT, "nets.py:Block", target="one.toml")
    shows(said, "none of the other formats of one can carry it either")


def test_a_target_that_fails_leaves_no_bundle_of_another(bench: Bench) -> None:
    (bench.folder / "first.toml").write_text(PI.replace('name = "onnx"', 'name = "torchscript"'))
    (bench.folder / "second.toml").write_text(PI)
    line = ("--format", "torchscript", "--target", "first.toml", "--target", "second.toml")
    shows(bench.refused(EXPORT, "nets.py:Block", *line, target="first.toml"), "onnx cannot carry operator")


def test_a_failed_build_leaves_the_old_bundle_as_it_was(bench: Bench, bundle_copy: Path) -> None:
    out = bench.folder / "out"
    out.mkdir()
    bundle_copy.rename(out / "raspberry-pi-5")
    before = tree(out)
    shows(bench.refused(SOURCE, "nets.py:Nan"), "NaN")
    shows(bench.refused(EXPORT, "nets.py:Block", target=_renamed(bench)), "cannot carry operator")
    assert tree(out) == before
    assert [path.name for path in out.iterdir()] == ["raspberry-pi-5"]


def _renamed(bench: Bench) -> Path:
    """A profile of ONNX alone that is called raspberry-pi-5 too."""
    path = bench.folder / "own" / "raspberry-pi-5.toml"
    path.parent.mkdir()
    path.write_text(re.sub(r'\[\[formats]]\nname = "executorch"\n.*\n', "", PI))
    return path


# The output folder


def test_an_output_folder_below_a_file(bench: Bench) -> None:
    (bench.folder / "file").write_text("x")
    said = bench.refused(BUNDLE, out="file/deep/out")
    shows(said, "file cannot be written to", "--out")
    assert (bench.folder / "file").read_text() == "x"


def test_an_output_folder_that_may_not_be_written(bench: Bench) -> None:
    closed = bench.folder / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user is root, who may write anywhere")
    try:
        shows(bench.refused(BUNDLE, out="closed/out"), "closed cannot be written to", "--out")
    finally:
        closed.chmod(0o700)


def test_a_folder_that_is_no_bundle_is_not_overwritten(bench: Bench) -> None:
    mine = bench.folder / "out" / "raspberry-pi-5"
    mine.mkdir(parents=True)
    (mine / "thesis.tex").write_text("years of work")
    said = bench.refused(BUNDLE)
    shows(said, "out/raspberry-pi-5 exists and is no bundle", "not overwritten")
    assert list(tree(bench.folder / "out")) == [str(mine / "thesis.tex")]


def test_a_disk_that_fills_up(bench: Bench, small_disk: Path) -> None:
    said = bench.refused(BUNDLE, "nets.py:Large", out=small_disk / "out")
    shows(said, f"the disk that holds {small_disk}/out is full", "free room, or give --out")
    assert list(small_disk.iterdir()) == []


# Bundles and model files that are given


def test_what_is_no_bundle(bench: Bench, bundle_copy: Path) -> None:
    golden = bundle_copy / "golden" / "inputs_0.npy"
    golden.write_bytes(golden.read_bytes()[:-1])
    for path, words in [
        ("nowhere", "nowhere is no bundle"),
        ("nets.py", "nets.py/bundle.json cannot be read"),
        (str(bundle_copy), "is damaged: inputs_0.npy cannot be read"),
    ]:
        ended = bench.command("check", path)
        assert ended.code == BUNDLE
        shows(ended.sentence(), words)


def test_what_is_no_model_file(bench: Bench) -> None:
    (bench.folder / "bad.onnx").write_bytes(b"hello")
    for path, words in [
        ("gone.onnx", "there is no file gone.onnx"),
        ("nets.py", "no format reads '.py'; known are .ml"),
        ("bad.onnx", "bad.onnx"),
    ]:
        ended = bench.command("inspect", path)
        assert ended.code == BUNDLE
        shows(ended.sentence(), words)


# Signals


def children_of(words: str) -> list[str]:
    """Processes whose command line holds `words`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line:
            found.append(line)
    return found


@pytest.fixture
def started(bench: Bench) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a build in a process group of its own, as a terminal does."""
    running: list[subprocess.Popen[str]] = []

    def start(*line: str) -> subprocess.Popen[str]:
        keys: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        default = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {RUN}"
        started = subprocess.Popen([sys.executable, "-c", default, *line], start_new_session=True, **keys)
        running.append(started)
        return started

    yield start
    for each in running:
        if each.poll() is None:
            each.kill()
        each.communicate()


@pytest.mark.parametrize("stage", ["load", "export", "run"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_build_and_nothing_is_left(
    bench: Bench, started: Callable[..., subprocess.Popen[str]], stage: str, number: signal.Signals
) -> None:
    build = started(*bench.arguments("nets.py:Net", out=bench.folder / "new" / "out"))
    assert build.stderr is not None
    for line in build.stderr:
        if re.match(rf"\[\d+/\d+] {stage} ", line):
            break
    else:
        pytest.fail(f"the build ended before it came to '{stage}'")
    if number is signal.SIGINT:
        os.killpg(build.pid, number)  # Ctrl-C goes to all that the terminal runs
    else:
        build.send_signal(number)
    out, err = build.communicate(timeout=120)
    ended = Ended(build.returncode, out, err)
    assert ended.code == INTERRUPTED, err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1] == "interrupted; nothing half-written is left"
    assert [path.name for path in bench.folder.iterdir() if path.name != "__pycache__"] == ["nets.py"]
    assert children_of(str(bench.folder)) == []
