"""The options of a format: the keys of its `[[formats]]` table in a target, validated by its own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from edgepack import toml
from edgepack.errors import TargetError
from edgepack.target import Target

_Options = TypeVar("_Options", bound=BaseModel)
_OWN = ("name", "schemes")
"""The keys of a `[[formats]]` table that every format has."""


class NoOptions(toml.Strict):
    """Options of a format that has none."""


def of(target: Target, format_name: str, model: type[_Options]) -> _Options:
    """What a target chooses for a format; the defaults where the target does not list the format."""
    choice = target.choice(format_name)
    return model.model_validate(choice.options if choice else {})


def validated(given: Mapping[str, Any], model: type[BaseModel], where: str, inside: str) -> dict[str, Any]:
    """`given` with the defaults of `model`, as plain values.

    Raises TargetError at an unknown key, also where `model` would ignore it, and at a wrong value. `where`
    is the target's file, and `inside` the path of the table in it.
    """
    known = [*_OWN, *model.model_fields]
    unknown = [f"unknown key '{inside}.{key}': {toml.near(key, known)}" for key in given if key not in known]
    if unknown:
        raise TargetError(f"{where}: {'; '.join(unknown)}")
    return toml.validate(dict(given), model, where, TargetError, inside).model_dump(mode="json")
