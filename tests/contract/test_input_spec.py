"""The grammar of `--input`."""

from __future__ import annotations

import pytest

from edgepack.contract import parse_input
from edgepack.errors import PlanError


@pytest.mark.parametrize(
    ("spec", "table"),
    [
        ("tensor:1x3x224x224", {"kind": "tensor", "shape": [1, 3, 224, 224], "name": "input"}),
        ("tensor:1x8:int64", {"kind": "tensor", "shape": [1, 8], "dtype": "int64", "name": "input"}),
        ("tensor:Nx3xHxW", {"kind": "tensor", "shape": ["N", 3, "H", "W"], "name": "input"}),
        ("state=tensor:2x1x128", {"kind": "tensor", "shape": [2, 1, 128], "name": "state"}),
        ("tensor:5", {"kind": "tensor", "shape": [5], "name": "input"}),
        ("image:224", {"kind": "image", "size": [224, 224]}),
        ("image:20x10", {"kind": "image", "size": [20, 10]}),
        ("photo=image:8", {"kind": "image", "size": [8, 8], "name": "photo"}),
    ],
)
def test_parse_input(spec: str, table: dict[str, object]) -> None:
    assert parse_input(spec, 0) == table


def test_inputs_without_a_name_are_numbered() -> None:
    assert [parse_input("tensor:1x8", n)["name"] for n in range(3)] == ["input", "input_1", "input_2"]


@pytest.mark.parametrize(
    "spec",
    ["", "224", "tensor:", "tensor", "image:", "image:224x", "image:1x2x3", "a=b=tensor:1", "9=image:8"],
)
def test_parse_input_refuses_what_it_does_not_understand(spec: str) -> None:
    with pytest.raises(PlanError, match="is not understood") as raised:
        parse_input(spec, 0)
    assert "tensor:1x3x224x224" in raised.value.hint
