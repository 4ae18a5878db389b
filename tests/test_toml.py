"""Documents that people write: what is wrong in one is said in words, with the near key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from edgepack import toml
from edgepack.errors import PlanError, TargetError
from edgepack.toml import Strict


class Picture(Strict):
    kind: Literal["image"]
    width: int = 0


class Box(Strict):
    kind: Literal["tensor"]
    length: int = 0


class Home(Strict):
    rooms: int
    things: tuple[Annotated[Picture | Box, Field(discriminator="kind")], ...] = ()
    door: Picture | None = None


def test_near_names_one_word_or_all() -> None:
    assert toml.near("onx", ["onnx", "coreml"]) == "did you mean 'onnx'?"
    assert toml.near("zzz", ["onnx", "coreml"]) == "there are: coreml, onnx"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"rooms": 1, "romms": 2}, "unknown key 'romms': did you mean 'rooms'?"),
        ({}, "key 'rooms' is missing"),
        ({"rooms": "many"}, "'rooms' input should be a valid integer"),
        ({"rooms": 1, "door": {"kind": "image", "widht": 3}}, "'door.widht': did you mean 'width'?"),
        ({"rooms": 1, "door": 3}, "'door' input should be a valid dictionary"),
        ({"rooms": 1, "things": 3}, "'things' input should be a valid"),
    ],
)
def test_validate_says_what_is_wrong(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TargetError) as raised:
        toml.validate(data, Home, "home.toml", TargetError)
    assert str(raised.value).startswith("home.toml: ")
    assert sentence in str(raised.value)


def test_validate_names_the_near_key_of_the_kind_that_is_meant() -> None:
    home = {"rooms": 1, "things": [{"kind": "image"}, {"kind": "tensor", "lenght": 2}]}
    with pytest.raises(PlanError, match=r"unknown key 'things\.1\.lenght': did you mean 'length'\?"):
        toml.validate(home, Home, "home.toml", PlanError)


def test_validate_tells_all_problems_and_each_once() -> None:
    with pytest.raises(PlanError) as raised:
        toml.validate({"romms": 1, "dor": 2}, Home, "home.toml", PlanError)
    assert str(raised.value).count("'rooms' is missing") == 1
    assert "'romms'" in str(raised.value)
    assert "'dor'" in str(raised.value)


def test_validate_gives_a_frozen_model() -> None:
    home = toml.validate({"rooms": 2}, Home, "home.toml", PlanError)
    assert home.rooms == 2
    with pytest.raises(ValueError, match="frozen"):
        home.rooms = 3


@pytest.mark.parametrize("content", [b"[model", b"\xff\xfe\x00", b'a = "\x01"'])
def test_read_refuses_what_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=r"a\.toml is not valid TOML: "):
        toml.read(path, PlanError)


def test_read_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be read: No such file"):
        toml.read(tmp_path / "no.toml", TargetError)
    with pytest.raises(TargetError, match="cannot be read: Is a directory"):
        toml.read(tmp_path, TargetError)
