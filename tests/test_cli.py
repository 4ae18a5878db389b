"""The command line: what it prints where, its exit codes, and what it does not import."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Command, write_samples

from edgepack import doctor, formats, resources, target
from edgepack.app import template

HEAVY = ("torch", "torchvision", "onnx", "onnxruntime", "executorch", "torchao", "coremltools")
PI = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")
MODEL = ("net.py:net", "--target", "raspberry-pi-5", "--input", "tensor:1x8")

LOADED = f"""
import json, sys
from edgepack.cli import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)
    raise
"""


# Help and lists


@pytest.mark.parametrize(
    "name", ["build", "plan", "check", "inspect", "targets", "formats", "templates", "doctor"]
)
def test_help_of_every_command(command: Command, name: str) -> None:
    assert name in command("--help").out
    ended = command(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "--json" in ended.out


def test_help_tells_the_exit_codes(command: Command) -> None:
    told = command("--help").out
    for words in ("10 a check failed", "130 interrupted"):
        assert words in re.sub(r"[\s│]+", " ", told)


def test_version(command: Command) -> None:
    assert command("--version").out == f"edgepack {metadata.version('edgepack')}\n"


def test_targets_are_listed_and_one_is_explained(command: Command) -> None:
    listed = command("targets").out
    for name in target.names():
        assert name in listed
    told = command("targets", "raspberry-pi-5").out
    assert "Raspberry Pi 5" in told
    assert "onnx" in told
    assert "agreement ≥ 95 %" in told


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("targets", target.names()), ("formats", formats.names()), ("templates", template.names())],
)
def test_lists_as_json(command: Command, name: str, wanted: list[str]) -> None:
    ended = command(name, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [each["name"] for each in json.loads(ended.out)] == wanted
    assert json.loads(command(name, wanted[0], "--json").out)["name"] == wanted[0]
    assert wanted[0] in command(name).out


@pytest.mark.parametrize(
    ("name", "wrong", "code", "near"),
    [
        ("targets", "pixel8", 2, "pixel-8"),
        ("formats", "onx", 3, "onnx"),
        ("templates", "linux-pithon", 2, "linux-python"),
    ],
)
def test_one_that_there_is_not(command: Command, name: str, wrong: str, code: int, near: str) -> None:
    ended = command(name, wrong)
    assert ended.code == code
    assert f"did you mean '{near}'?" in ended.sentence()


def test_doctor_knows_the_packages_and_the_formats(command: Command) -> None:
    found = json.loads(command("doctor", "--json").out)
    assert {"torch", "onnxruntime", "executorch", "coremltools"} <= {
        each["name"] for each in found["packages"]
    }
    assert [each["format"] for each in found["abilities"]] == formats.names()
    assert found["python"] in command("doctor").out


def test_doctor_tries_to_import_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "torchvision.py"
    for text, problem in (("", ""), ("raise RuntimeError('no nms')", "RuntimeError: no nms")):
        broken.write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (found,) = [each for each in doctor.examine().packages if each.name == "torchvision"]
        assert found.problem == problem


# Plans


def test_a_plan_as_json_and_in_words(here: Path, command: Command) -> None:
    ended = command("plan", *MODEL, "--json")
    assert (ended.code, ended.err) == (0, "")
    (wanted,) = json.loads(ended.out)["targets"]
    assert wanted["target"]["name"] == "raspberry-pi-5"
    assert [step["scheme"] for step in wanted["steps"]] == ["w8d", "w8", "fp32", "w8d", "fp32"]
    told = command("plan", *MODEL).out
    assert "onnx w8a8: no --calib" in told
    assert "dist/raspberry-pi-5" in told
    assert not (here / "dist").exists()


def test_what_users_name_is_not_taken_for_markup(here: Path, command: Command) -> None:
    (here / "my.toml").write_text(PI.replace('"Raspberry Pi 5"', '"my [/b] board [bold]"'))
    ended = command("plan", "net.py:net", "-t", "my.toml", "--input", "tensor:1x8", "--out", "a[red]")
    assert ended.code == 0, ended.err
    assert "my [/b] board [bold]" in ended.out
    assert "a[red]" in ended.out
    assert "my [/b] board [bold]" in command("targets", "./my.toml").out
    assert "n[/x].py" in command("plan", "n[/x].py:net").sentence()


def test_a_name_that_is_no_unicode_can_be_shown(here: Path, command: Command) -> None:
    ended = command("plan", "n\udcff.py:net", "-t", "raspberry-pi-5", "--input", "tensor:1x8")
    assert ended.code == 5
    assert r"there is no file n\udcff.py" in ended.sentence()


# Nothing heavy


@pytest.mark.parametrize(
    "line",
    [
        ("--help",),
        ("build", "--help"),
        ("targets",),
        ("targets", "pixel-8"),
        ("templates",),
        ("plan", *MODEL),
        ("plan", *MODEL, "--calib", "calib.npz", "--json"),
        ("plan", *MODEL, "--target", "jetson-nano"),
        ("plan", "net.py:net", "--target", "iphone-15", "--input", "image:224"),
        ("plan", "torchvision:resnet18", "--target", "pixel-8"),
        ("plan", "net.py:net", "--target", "nowhere"),
    ],
)
def test_lists_and_plans_import_no_toolchain(here: Path, process: Command, line: tuple[str, ...]) -> None:
    write_samples(here)
    ended = process(*line, code=LOADED)
    assert json.loads(ended.err.splitlines()[-1]) == []
    assert "Traceback" not in ended.err


def test_and_that_would_be_seen(here: Path, process: Command) -> None:
    (here / "net.pt").write_bytes(b"")
    ended = process("inspect", "net.pt", code=LOADED)
    assert "torch" in json.loads(ended.err.splitlines()[-1])


# Builds

LOUD = """
import os, warnings
from net import net as quiet

print("printed by Python")
os.write(1, b"written to stdout\\n")
os.write(2, b"written to stderr\\n")
warnings.warn("a warning")

def net():
    os.write(1, b"written later\\n")
    return quiet()
"""


def test_a_build_prints_one_json_document_and_plain_progress(here: Path, process: Command) -> None:
    (here / "loud.py").write_text(LOUD)
    write_samples(here)
    ended = process(
        "build", "loud.py:net", *MODEL[1:], "-f", "onnx", "--calib", "calib.npz", "--out", "o", "--json"
    )
    assert ended.code == 0, ended.err
    (report,) = json.loads(ended.out)
    assert report["target"] == "raspberry-pi-5"
    assert {each["scheme"] for each in report["artifacts"]} == {"fp32"}
    idle = [each for each in report["tried"] if each["artifact"]["scheme"] == "w8a8"]
    assert "w8a8 makes the file no smaller than float" in idle[0]["outcome"]
    lines = ended.err.splitlines()
    assert lines
    assert all(re.fullmatch(r"\[\d+/\d+\] .+", line) for line in lines)
    numbers = [tuple(map(int, line[1 : line.index("]")].split("/"))) for line in lines]
    assert [number for number, _ in numbers] == list(range(1, len(lines) + 1))
    assert numbers[-1][0] == numbers[-1][1]


def test_a_build_in_words(here: Path, command: Command) -> None:
    ended = command("build", *MODEL, "--format", "onnx", "--out", "o")
    assert ended.code == 0, ended.err
    shown = " ".join(ended.out.split())
    for words in ("SQNR dB", "pass", "skipped onnx w8a8: no --calib", "note", "all checks passed", "o/raspb"):
        assert words in shown
    assert (here / "o" / "raspberry-pi-5" / "bundle.json").is_file()


def test_a_failed_check_exits_10_and_the_bundle_is_there_and_check_says_the_same(
    here: Path, command: Command
) -> None:
    (here / "tiny.toml").write_text(re.sub(r"size_mb = .*", "size_mb = 0.0001", PI))
    ended = command(
        "build", "net.py:net", "-t", "tiny.toml", "--input", "tensor:1x8", "-f", "onnx", "--out", "o"
    )
    assert ended.code == 10
    assert re.search(r"failed +\S+-fp32.onnx: size", ended.out)
    assert "is over the limit of 0.0001" in ended.out
    assert "a check failed" in ended.out
    assert json.loads((here / "o" / "tiny" / "bundle.json").read_text())["passed"] is False
    again = command("check", "o/tiny", "--json")
    assert again.code == 10
    checks = json.loads(again.out)["artifacts"][0]["checks"]
    assert [each["name"] for each in checks if each["verdict"] == "fail"] == ["size"]


def test_check_of_a_whole_bundle_and_of_one_with_a_changed_app(
    built: Path, bundle_copy: Path, command: Command
) -> None:
    ended = command("check", built)
    assert ended.code == 0, ended.out
    assert "all checks passed" in ended.out
    (bundle_copy / "app" / "pyproject.toml").write_text("changed")
    assert "app/pyproject.toml has changed since it was built" in command("check", bundle_copy).out


def test_check_of_a_changed_model_exits_10(bundle_copy: Path, command: Command) -> None:
    (model,) = (bundle_copy / "model").glob("*-w8a8.onnx")
    model.write_bytes(model.read_bytes()[:-100])
    ended = command("check", bundle_copy)
    assert ended.code == 10
    assert f"model/{model.name} has changed since it was built" in ended.out


def test_inspect(built: Path, command: Command) -> None:
    (model,) = (built / "model").glob("*-w8a8.onnx")
    found = json.loads(command("inspect", model, "--json").out)
    assert found["format"].startswith("onnx")
    assert found["inputs"][0]["shape"] == [1, 8]
    assert model.name in command("inspect", model).out


# Wrong usage


@pytest.mark.parametrize(
    "line",
    [
        ("bild",),
        ("build",),
        ("build", "a", "b"),
        ("build", "net.py:net", "--tarket", "pixel-8"),
        ("build", "net.py:net", "--target"),
        ("targets", "a", "b"),
        ("check",),
    ],
)
def test_wrong_usage_exits_2(command: Command, line: tuple[str, ...]) -> None:
    ended = command(*line)
    assert ended.code == 2
    assert ended.out == ""
    assert "Usage:" in ended.err or "Error" in ended.err


def test_no_arguments_show_the_help(command: Command) -> None:
    ended = command()
    assert "Usage:" in ended.out + ended.err


# Errors


def test_debug_shows_the_cause(here: Path, command: Command) -> None:
    (here / "bad.py").write_text("print('about to fail')\n1 / 0")
    line = ("build", "bad.py:net", *MODEL[1:], "--out", "o")
    plain = command(*line)
    assert plain.code == 5
    assert "ZeroDivisionError" in plain.sentence()
    told = command(*line, "--debug")
    assert told.code == 5
    assert "about to fail" in told.err
    assert "Traceback" in told.err
    assert 'bad.py", line 2' in told.err


def test_an_error_prints_nothing_on_stdout_with_json(here: Path, command: Command) -> None:
    ended = command("plan", "nowhere.py:net", "--json")
    assert ended.code == 5
    ended.sentence()


def test_what_is_missing_is_named_with_the_command_that_brings_it(
    here: Path, process: Command, without: Callable[..., dict[str, str]]
) -> None:
    environment = without("coremltools", "onnxruntime")
    told = json.loads(process("formats", "--json", env=environment).out)
    missing = {each["name"]: each["cannot_export"] for each in told}
    assert missing["coreml"] == "coremltools not installed; pip install 'edgepack[coreml]'"
    assert missing["onnx"] == "onnxruntime not installed; pip install 'edgepack[onnx]'"
    assert missing["executorch"] == ""
    found = json.loads(process("doctor", "--json", env=environment).out)
    remedies = {each["name"]: each["remedy"] for each in found["packages"] if not each["installed"]}
    assert remedies == {
        "coremltools": "pip install 'edgepack[coreml]'",
        "onnxruntime": "pip install 'edgepack[onnx]'",
    }
