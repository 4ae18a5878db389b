"""A format of a third party, installed from a package of its own: nothing in sdk/ knows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Command, Ended, write_samples

from edgepack import resources

PACKAGE = ROOT / "tests" / "third_party_format"
MODEL = ("net.py:net", "--input", "tensor:1x8", "--calib", "calib.npz")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("installed")
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    line += ["--no-index", "--disable-pip-version-check", "--target", str(folder), str(PACKAGE)]
    ended = subprocess.run(line, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def edgepack(here: Path, installed: Path, process: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `edgepack ARGS` where the package is installed, beside net.py and its samples."""
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), *([before] if before else [])]))
    write_samples(here)
    return process


def board(folder: Path, options: str, name: str = "board") -> str:
    """The file name of a Raspberry Pi 5's profile that lists the format alone."""
    profile = (resources.targets() / "raspberry-pi-5.toml").read_text(encoding="utf-8")
    kept = profile[: profile.index("[[formats]]")] + profile[profile.index("[budget]") :]
    table = f'[[formats]]\nname = "zipped"\nschemes = ["fp32"]\n{options}\n'
    path = folder / f"{name}.toml"
    path.write_text(kept.replace('template = "linux-python"\n', "") + table, encoding="utf-8")
    return path.name


def succeeded(ended: Ended) -> str:
    """What a command printed."""
    assert ended.code == 0, ended.err
    return " ".join(ended.out.split())


def test_it_builds_with_its_option_checks_and_inspects(here: Path, edgepack: Command) -> None:
    targets = [f"--target={board(here, f'level = {level}', f'board{level}')}" for level in (0, 9)]
    succeeded(edgepack("build", *MODEL, *targets, "--no-emulator", "--out", "out"))
    sizes = {}
    for level in (0, 9):
        bundle = here / "out" / f"board{level}"
        report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
        (artifact,) = report["artifacts"]
        assert artifact["format"] == "zipped"
        assert {"pass"} <= {each["verdict"] for each in artifact["checks"]} <= {"pass", "skipped"}
        assert f"zipped at level {level}" in artifact["notes"]
        assert json.loads((bundle / "bundle.json").read_text())["made_by"]["edgepack-zipped"] == "0.3.0"
        file = bundle / artifact["file"]
        sizes[level] = file.stat().st_size
    assert sizes[9] < 0.9 * sizes[0]
    succeeded(edgepack("check", str(bundle)))
    shown = json.loads(succeeded(edgepack("inspect", str(file), "--json")))
    assert shown["format"] == "zipped"
    assert shown["operators"] == {"aten.linear.default": 2, "aten.relu.default": 1}
    assert shown["contract"]["outputs"]


def test_it_is_listed_with_its_packages(edgepack: Command) -> None:
    facts = {each["name"]: each for each in json.loads(succeeded(edgepack("formats", "--json")))}
    assert facts["zipped"]["about"] == "exported program of torch in a zip file"
    assert facts["zipped"]["suffix"] == ".ptz"
    assert facts["zipped"]["schemes"] == ["fp32"]
    host = json.loads(succeeded(edgepack("doctor", "--json")))
    abilities = {each["format"]: each for each in host["abilities"]}
    assert abilities["zipped"] == {
        "format": "zipped", "cannot_export": "", "cannot_run": "", "evaluator": ""
    }  # fmt: skip
    known = {(each["name"], each["installed"], each["known"]) for each in host["packages"]}
    assert ("edgepack-zipped", "0.3.0", "") in known
    assert any(name == "torch" and specifier == ">=2.13" for name, _, specifier in known)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("levle = 9", "board.toml: unknown key 'formats.0.levle': did you mean 'level'?"),
        ("level = 10", "board.toml: 'formats.0.level' input should be less than or equal to 9"),
        ('level = "best"', "board.toml: 'formats.0.level' input should be a valid integer"),
    ],
)
def test_its_option_is_validated(here: Path, edgepack: Command, option: str, words: str) -> None:
    target = board(here, option)
    ended = edgepack("plan", *MODEL, "--target", target)
    assert ended.code == 2
    assert words in ended.sentence()


def test_a_wrong_option_is_refused_where_its_target_is_listed(here: Path, edgepack: Command) -> None:
    ended = edgepack("targets", f"./{board(here, 'levle = 9')}")
    assert ended.code == 2
    assert "unknown key 'formats.0.levle': did you mean 'level'?" in ended.sentence()


def test_its_option_is_shown(here: Path, edgepack: Command) -> None:
    target = board(here, "level = 9")
    assert "format zipped: fp32; level = 9" in succeeded(edgepack("targets", f"./{target}"))


def test_without_the_package_its_target_is_refused(here: Path, process: Command) -> None:
    write_samples(here)
    ended = process("plan", *MODEL, "--target", board(here, "level = 9"))
    assert ended.code == 3
    assert "board asks for format 'zipped', which does not exist" in ended.sentence()


def _distribution(folder: Path, name: str, format_name: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgepack.formats]\n{format_name} = {name}\n")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("import a_toolchain_that_is_not_here", "cannot be imported: ModuleNotFoundError: No module named"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("SUFFIX = '.mine'\ndef load(path): pass", " has no "),
    ],
)
def test_a_package_that_is_no_format_is_a_sentence(
    tmp_path: Path, process: Command, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "mine", "mine")
    (tmp_path / "mine.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = process("formats")
    assert ended.code == 3
    assert f"format 'mine' of package 'mine' {words.strip()}" in ended.sentence()
    assert "pip uninstall mine" in ended.sentence()


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        ({"mine": "onnx"}, "package 'mine' brings a format 'onnx', and so does edgepack itself"),
        ({"mine": "tflite", "other": "tflite"}, " brings a format 'tflite', and so does '"),
    ],
)
def test_a_name_that_two_packages_give_is_refused(
    tmp_path: Path,
    process: Command,
    packages: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, format_name in packages.items():
        _distribution(tmp_path, name, format_name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = process("formats")
    assert ended.code == 3
    assert words in ended.sentence()
    assert "pip uninstall " in ended.sentence()
