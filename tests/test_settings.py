"""Settings: `edgepack.toml`, checked as strictly as a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import options
from edgepack.contract import ImageInput, TensorInput
from edgepack.errors import PlanError, SourceError


def load(folder: Path, text: str) -> options.Settings:
    path = folder / options.SETTINGS_FILE
    path.write_text(text, encoding="utf-8")
    return options.load_settings(path)


def test_an_empty_file_settles_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == options.Settings()


def test_all_tables(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n dog \n\nfish\n\n\n", encoding="utf-8")
    found = load(
        tmp_path,
        """
[model]
source = "net.py:net"
weights = "net.safetensors"
[input]
kind = "image"
size = [8, 16]
[output]
kind = "classification"
labels = "labels.txt"
activation = "sigmoid"
[data]
calib = "a"
eval = "b"
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
out = "o"
""",
    )
    assert found.model.source == "net.py:net"
    assert found.input == (ImageInput(kind="image", size=(8, 16)),)
    assert found.output[0].labels == ("cat", "dog", "", "fish")
    assert found.output[0].activation == "sigmoid"
    assert (found.data.calib, found.data.eval) == ("a", "b")
    assert (found.build.targets, found.build.formats, found.build.out) == (
        ("raspberry-pi-5",),
        ("onnx",),
        "o",
    )


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    text = """
[[input]]
kind = "tensor"
name = "a"
shape = ["N", 3]
[[input]]
kind = "tensor"
name = "b"
shape = [1, 4]
dtype = "int64"
[[output]]
name = "y"
[[output]]
name = "z"
kind = "regression"
"""
    found = load(tmp_path, text)
    assert found.input[0] == TensorInput(kind="tensor", name="a", shape=("N", 3))
    assert [each.name for each in found.output] == ["y", "z"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[model]\nsorce = "a"', "unknown key 'model.sorce': did you mean 'source'?"),
        ("modle = 3", "unknown key 'modle': did you mean 'model'?"),
        ("model = 3", "'model' input should be a valid dictionary"),
        (
            '[input]\nkind = "image"\nsize = [8, 8]\nmaen = [1]',
            "unknown key 'input.0.maen': did you mean 'mean'?",
        ),
        ('[input]\nkind = "tensor"\nshap = [1]', "unknown key 'input.0.shap': did you mean 'shape'?"),
        ('[input]\nkind = "image"', "key 'input.0.size' is missing"),
        ('[input]\nkind = "picture"\nsize = [8, 8]', "'image', 'tensor'"),
        ("[input]\nsize = [8, 8]", "'kind'"),
        ('[output]\nkind = "clasification"', "'classification', 'class', "),
        ('[output]\nlabels = ["a"]', "labels go with kind 'classification'"),
        ('[build]\ntarget = ["pi"]', "unknown key 'build.target': did you mean 'targets'?"),
        ('[data]\ncalibration = "x"', "unknown key 'data.calibration': did you mean 'calib'?"),
        ("output = 3", "'output' input should be a valid"),
        ("output = [3]", "'output.0' input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PlanError) as raised:
        load(tmp_path, text)
    assert options.SETTINGS_FILE in str(raised.value)
    assert words in str(raised.value)


def test_labels_of_a_second_output_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a\nb\n", encoding="utf-8")
    found = load(tmp_path, '[[output]]\n[[output]]\nname = "y"\nkind = "classification"\nlabels = "l.txt"')
    assert found.output[1].labels == ("a", "b")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "is empty"), (b"\n \n", "is empty"), (b"\xff\xfe", "cannot be read")],
)
def test_labels_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=words):
        options.read_labels(path)


def test_labels_are_kept_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text('a "b"\nc\\d\n☃\n', encoding="utf-8")
    assert options.read_labels(path) == ('a "b"', "c\\d", "☃")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffcat, tabby\r\n猫\r\n".encode())
    assert options.read_labels(tmp_path / "labels.txt") == ("cat, tabby", "猫")
    text = '\ufeff[output]\nkind = "classification"\nlabels = "labels.txt"\n'
    (tmp_path / "edgepack.toml").write_bytes(text.encode())
    settings = options.load_settings(tmp_path / "edgepack.toml")
    assert settings.output[0].labels == ("cat, tabby", "猫")
