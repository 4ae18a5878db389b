"""References to Python objects: their grammar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from edgepack import python_reference
from edgepack.errors import SourceError
from edgepack.python_reference import Reference


@pytest.fixture(autouse=True)
def _same_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The path and the table of modules are as before after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def attribute(text: str) -> Any:
    reference = Reference.parse(text)
    assert reference is not None
    return python_reference.attribute(reference)


def refused(text: str) -> SourceError:
    with pytest.raises(SourceError) as raised:
        attribute(text)
    return raised.value


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "place", "name", "is_file"),
    [
        ("net.py:model", "net.py", "model", True),
        ("a/b.c/net.py:Group.Inner", "a/b.c/net.py", "Group.Inner", True),
        ("C:/a/net.py:model", "C:/a/net.py", "model", True),
        ("package.module:make", "package.module", "make", False),
    ],
)
def test_a_place_and_a_name(text: str, place: str, name: str, is_file: bool) -> None:
    found = Reference.parse(text)
    assert found == Reference(place, name)
    assert found.is_file == is_file
    assert str(found) == text


@pytest.mark.parametrize("text", ["", "net.py", "net.py:", ":model", ":", "photos/"])
def test_text_that_is_no_reference(text: str) -> None:
    assert Reference.parse(text) is None


def test_a_module_has_the_path_of_its_name() -> None:
    assert Reference("package.module", "make").path == Path("package/module")
    assert Reference("a.b/net.py", "model").path == Path("a.b/net.py")


def test_a_file_with_relative_imports_is_imported_in_its_package(tmp_path: Path) -> None:
    write(tmp_path / "one_pkg" / "__init__.py", "flag = 1")
    write(tmp_path / "one_pkg" / "blocks.py", "size = 5")
    file = write(tmp_path / "one_pkg" / "net.py", "from . import flag\nfrom .blocks import size as net")
    assert attribute(f"{file}:net") == 5
    assert sys.modules["one_pkg.net"].flag == 1


def test_relative_imports_without_init_files_and_over_two_levels(tmp_path: Path) -> None:
    write(tmp_path / "two_pkg" / "layers" / "conv.py", "size = 7")
    write(tmp_path / "two_pkg" / "top.py", "size = 8")
    text = "from ..layers.conv import size as net\nfrom ..top import size as other"
    file = write(tmp_path / "two_pkg" / "models" / "net.py", text)
    assert (attribute(f"{file}:net"), attribute(f"{file}:other")) == (7, 8)


def test_relative_imports_where_no_package_can_be(tmp_path: Path) -> None:
    file = write(tmp_path / "my nets" / "net.py", "from .blocks import net")
    assert "cannot be imported as my nets.net: a folder's name is no Python name" in str(
        refused(f"{file}:net")
    )
    file = write(tmp_path / "json" / "net.py", "from .blocks import net")
    assert "cannot be imported as json.net: 'json' is another package" in str(refused(f"{file}:net"))
    file = write(tmp_path / "three_pkg" / "net.py", "from .nowhere import net")
    assert "net.py does not import: ModuleNotFoundError" in str(refused(f"{file}:net"))


def test_a_script_that_parses_the_command_line(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('{}')\nnet = p.parse_args()\n"
    file = write(tmp_path / "script.py", text.format("data"))
    problem = refused(f"{file}:net")
    assert "script.py parses the command line when it is imported, and ended with SystemExit: 2" in str(
        problem
    )
    assert "__main__" in problem.hint
    file = write(tmp_path / "script2.py", text.format("--lr"))
    assert attribute(f"{file}:net").lr is None  # it sees no arguments, not those of this process
    file = write(tmp_path / "quits.py", "raise SystemExit(3)")
    assert "quits.py does not import: SystemExit: 3" in str(refused(f"{file}:net"))


def test_neighbours_named_like_libraries_do_not_stand_for_them(tmp_path: Path) -> None:
    for name in ("chunk_store", "calendar", "onnx"):
        write(tmp_path / f"{name}.py", f"mine = '{name}'")
    sys.modules.pop("calendar", None)
    sys.modules.pop("onnx", None)
    file = write(tmp_path / "net.py", "import calendar, onnx, chunk_store\nnet = [calendar.mine, onnx.mine]")
    assert attribute(f"{file}:net") == ["calendar", "onnx"]
    import calendar

    assert not hasattr(calendar, "mine")
    assert sys.modules["chunk_store"].mine == "chunk_store"
    assert "onnx" not in sys.modules


def test_imports_inside_functions_find_their_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "late_layers.py", "size = 3")
    file = write(tmp_path / "net.py", "def net():\n    from late_layers import size\n    return size")
    assert attribute(f"{file}:net")() == 3


def test_what_a_file_changes_for_the_whole_process_is_undone(tmp_path: Path) -> None:
    text = "import os, sys, torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
    file = write(tmp_path / "net.py", text + "os.chdir('/')\nnet = list(sys.argv)")
    before = (sys.argv, Path.cwd())
    assert attribute(f"{file}:net") == [str(file)]
    assert (sys.argv, Path.cwd()) == before
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
