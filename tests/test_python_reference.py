"""References to Python objects: their grammar."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack.python_reference import Reference


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
