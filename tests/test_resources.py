"""Resources: targets and templates are found in a checkout and in an installed package."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from edgepack import resources


def copied(package: Path) -> ModuleType:
    """`resources.py` as a module of a package at `package`."""
    package.mkdir(parents=True)
    place = shutil.copyfile(resources.__file__, package / "resources.py")
    spec = importlib.util.spec_from_file_location("copied_resources", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_there() -> None:
    assert (resources.targets() / "raspberry-pi-5.toml").is_file()
    assert (resources.templates() / "linux-python" / "template.toml").is_file()


def test_in_a_checkout_they_stand_at_its_top(tmp_path: Path) -> None:
    for name in ("targets", "templates"):
        (tmp_path / name).mkdir()
    module = copied(tmp_path / "sdk" / "edgepack")
    assert module.targets() == tmp_path / "targets"
    assert module.templates() == tmp_path / "templates"


def test_in_an_installed_package_they_stand_in_it_and_nothing_above_is_taken(tmp_path: Path) -> None:
    module = copied(tmp_path / "lib" / "edgepack")
    for name in ("targets", "templates"):
        (tmp_path / name).mkdir()
        (tmp_path / "lib" / "edgepack" / name).mkdir()
    assert module.targets() == tmp_path / "lib" / "edgepack" / "targets"


def test_where_one_is_missing_it_fails_loudly(tmp_path: Path) -> None:
    module = copied(tmp_path / "lib" / "edgepack")
    (tmp_path / "targets").mkdir()
    with pytest.raises(RuntimeError, match="edgepack is not installed whole; install it again"):
        module.targets()
