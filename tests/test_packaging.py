"""Packaging: the wheel holds the package, every target and template, and nothing else; and it works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Command

LIST = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout as `pip` builds it."""
    out = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(line, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def in_git(*folders: str) -> set[str]:
    """The files of the checkout in these folders that git keeps, or would."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git, which tells the files that belong to it")
    listed = subprocess.run([*LIST, *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    assert found
    return found


@pytest.mark.parametrize("folder", ["targets", "templates"])
def test_targets_and_templates_are_all_in_the_wheel_and_no_others(names: set[str], folder: str) -> None:
    inside = {name.removeprefix("edgepack/") for name in names if name.startswith(f"edgepack/{folder}/")}
    assert inside == in_git(folder)


def test_the_package_is_all_in_the_wheel_and_nothing_else_is(names: set[str]) -> None:
    package = {name.removeprefix("sdk/") for name in in_git("sdk")}
    others = {name for name in names if not name.startswith(("edgepack/targets/", "edgepack/templates/"))}
    inside = {name for name in others if ".dist-info/" not in name}
    assert inside == package
    assert {name.split("/")[0] for name in names - inside} <= {"edgepack", *_metadata(names)}


def _metadata(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names if ".dist-info/" in name}


def test_nothing_of_tests_and_examples_is_in_it(names: set[str]) -> None:
    own = {Path(name).name for name in in_git("tests", "examples")}
    own -= {Path(name).name for name in in_git("sdk", "templates", "LICENSE")}
    assert not {name for name in names if Path(name).name in own}
    assert not {name for name in names if {"tests", "examples", "__pycache__"} & set(Path(name).parts)}


def test_it_brings_the_command_the_licence_and_the_extras(wheel: Path, names: set[str]) -> None:
    (folder,) = _metadata(names)
    with zipfile.ZipFile(wheel) as opened:
        metadata = opened.read(f"{folder}/METADATA").decode()
        commands = opened.read(f"{folder}/entry_points.txt").decode()
    assert "edgepack = edgepack.cli:main" in commands
    assert any(name.endswith("/LICENSE") for name in names)
    extras = {line.split()[1] for line in metadata.splitlines() if line.startswith("Provides-Extra:")}
    own = {"executorch", "onnx", "coreml", "prune", "text", "timm", "transformers", "keras"}
    assert extras == own | {"all", "bench", "dev"}
    assert "edgepack/py.typed" in names


def test_the_wheel_works_without_the_checkout(
    wheel: Path, tmp_path: Path, process: Command, without: Callable[..., dict[str, str]]
) -> None:
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    environment = without("edgepack", also=tmp_path / "installed")
    listed = process("targets", "--json", env=environment)
    here = process("targets", "--json")
    assert listed == here
    assert [each["name"] for each in json.loads(listed.out)]
    assert process("templates", "--json", env=environment) == process("templates", "--json")
    where = "import edgepack, edgepack.resources as r; print(edgepack.__file__, r.targets(), r.templates())"
    for path in process(code=where, env=environment).out.split():
        assert path.startswith(str(tmp_path / "installed" / "edgepack"))
