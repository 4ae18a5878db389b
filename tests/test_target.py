"""Targets: device profiles, shipped ones and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import formats, resources, target
from edgepack.errors import TargetError

PI = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")


def own(folder: Path, before: str = "", after: str = "", name: str = "my.toml") -> str:
    """The path of a copy of the Raspberry Pi 5's profile with `before` replaced by `after`."""
    assert before in PI
    path = folder / name
    path.write_text(PI.replace(before, after) if before else PI, encoding="utf-8")
    return str(path)


def test_a_shipped_target_is_found_by_name() -> None:
    found = target.load("raspberry-pi-5")
    assert (found.name, found.platform) == ("raspberry-pi-5", "linux")
    assert "raspberry-pi-5" in target.names()


def test_choice_is_the_format_s_entry_or_none() -> None:
    found = target.load("raspberry-pi-5")
    chosen = found.choice("onnx")
    assert chosen is not None
    assert chosen.name == "onnx"
    assert found.choice("coreml") is None


def test_a_user_s_own_is_found_by_path_and_called_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(tmp_path, '"Raspberry Pi 5"', '"My board"')
    monkeypatch.chdir(tmp_path)
    for given in ("my.toml", "./my.toml", str(tmp_path / "my.toml")):
        found = target.load(given)
        assert (found.name, found.title) == ("my", "My board")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raspbery-pi-5", "there is no target 'raspbery-pi-5': did you mean 'raspberry-pi-5'?"),
        ("toaster-9000", "there are: android-entry, "),
        ("", "there is no target ''"),
        (".", "there is no target '.'"),
        ("./nowhere.toml", "there is no target file nowhere.toml"),
        ("../raspberry-pi-5", "there is no target file ../raspberry-pi-5"),
    ],
)
def test_a_target_that_does_not_exist(name: str, words: str) -> None:
    with pytest.raises(TargetError) as raised:
        target.load(name)
    assert words in str(raised.value)
    assert raised.value.exit_code == 2


def test_options_of_a_format_are_complete_in_a_loaded_target(tmp_path: Path) -> None:
    chosen = formats.load_target(own(tmp_path, 'name = "onnx"', 'name = "onnx"\nopset = 17')).choice("onnx")
    assert chosen is not None
    assert chosen.options == {"provider": "cpu", "opset": 17}
    assert chosen.model_dump(mode="json") == {
        "name": "onnx", "schemes": ["w8a8", "w8d", "w8", "fp32"], "provider": "cpu", "opset": 17
    }  # fmt: skip
    assert type(chosen).model_validate(chosen.model_dump()) == chosen


def test_options_of_a_format_that_is_not_installed_stay_as_they_are(tmp_path: Path) -> None:
    path = own(tmp_path, 'name = "onnx"', 'name = "tflite"\nnumber = 3')
    chosen = formats.load_target(path).choice("tflite")
    assert chosen is not None
    assert chosen.options == {"number": 3}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("threads = 4", "thread = 4", "unknown key 'thread': did you mean 'threads'?"),
        ("size_mb", "size", "unknown key 'budget.size': did you mean 'size_mb'?"),
        ("floor", "flor", "unknown key 'os.flor': did you mean 'floor'?"),
        ('name = "onnx"', 'nmae = "onnx"', "unknown key 'formats.0.nmae': did you mean 'name'?"),
        ("[budget]", "[budgets]", "unknown key 'budgets': did you mean 'budget'?"),
        ("threads = 4", "threads = 5", "threads = 5 but the CPU has 4 cores"),
        ('name = "executorch"', 'name = "onnx"', "a format stands twice"),
        ('"w8a8", "w8d", "w8", "fp32"', '"w8a8"', "format 'onnx' needs fp32 or fp16 among its schemes"),
        ('"w8a8", "w8d", "w8"', '"w7a7"', "'formats.0.schemes.0' there is no scheme 'w7a7'"),
        ('platform = "linux"', 'platform = "plan9"', "'platform' input should be 'android', 'ios'"),
        ('title = "Raspberry Pi 5"', 'name = "pi"', "a target is called by its file name"),
        ("total_mb = 2048", "total_mb = 0", "'memory.total_mb' input should be greater than or equal to 1"),
        ("size_mb = 200", "size_mb = -1", "'budget.size_mb' input should be greater than 0"),
        ("min_agreement = 95", "min_agreement = 101", "less than or equal to 100"),
        ('name = "executorch"', 'name = "executorch"\nmin_delegated = 101', "less than or equal to 100"),
        ('name = "onnx"', 'name = "onnx"\nmin_delegated = 9', "unknown key 'formats.0.min_delegated': "),
        (
            'name = "onnx"',
            'name = "onnx"\nprovidr = "cpu"',
            "unknown key 'formats.0.providr': did you mean 'provider'?",
        ),
        ('name = "onnx"', 'name = "onnx"\nprovider = "gpu"', "'formats.0.provider' input should be 'cpu' or"),
        ('name = "onnx"', 'name = "onnx"\nopset = 12', "'formats.0.opset' input should be greater than or"),
        ('name = "onnx"', 'name = "onnx"\noptions = {}', "unknown key 'formats.0.options': "),
        (
            'schemes = ["w8a8", "w8d", "w8", "fp32"]',
            'provider = "cpu"\nschemas = ["w8a8", "fp32"]',
            "unknown key 'formats.0.schemas': did you mean 'schemes'?",
        ),
        ("[cpu]", "[cpu", "is not valid TOML"),
    ],
)
def test_a_profile_that_does_not_hold_together(tmp_path: Path, before: str, after: str, words: str) -> None:
    with pytest.raises(TargetError) as raised:
        formats.load_target(own(tmp_path, before, after))
    assert "my.toml" in str(raised.value)
    assert words in str(raised.value)
