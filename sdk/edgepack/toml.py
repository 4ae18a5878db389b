"""A TOML document that people write: read, validated, and refused with a sentence."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgepack.errors import EdgepackError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Strict(BaseModel):
    """Base of all that people write: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def near(word: str, words: list[str]) -> str:
    """`did you mean 'x'?` for the word of `words` nearest to `word`, or all of them."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(sorted(words))}"


def read(path: Path, error: type[EdgepackError]) -> dict[str, Any]:
    """The tables of a TOML file. Raises `error` where it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise error(f"{path} is not valid TOML: {cause}") from cause


def validate(
    data: dict[str, Any], model: type[Model], where: str, error: type[EdgepackError], inside: str = ""
) -> Model:
    """`data` as a `model`.

    Raises `error` with one sentence for each problem; for an unknown key it names the nearest known one.
    `where` is the file, and `inside` the path of the table in it that `data` is, such as `formats.0`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as cause:
        problems = [_sentence(problem, model, inside) for problem in cause.errors()]
        shown = "; ".join(dict.fromkeys(problems))
        raise error(f"{where}: {shown}") from cause


_TAGS = ("image", "tensor", "audio", "text")
"""What pydantic puts into a location for the kind of an input."""


def _sentence(problem: Any, model: type[BaseModel], inside: str) -> str:
    parts = [str(part) for part in problem["loc"] if part not in _TAGS]
    place = ".".join([inside, *parts] if inside else parts)
    if problem["type"] == "extra_forbidden":
        keys = sorted(_keys_beside(problem["loc"], model))
        return f"unknown key '{place}': {near(str(problem['loc'][-1]), keys)}"
    if problem["type"] == "missing":
        return f"key '{place}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"'{place}' {message[0].lower()}{message[1:]}" if place else message


def _keys_beside(location: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    """The keys that could stand where the unknown one does."""
    schema = model.model_json_schema()
    nodes = [schema]
    for part in location[:-1]:
        nodes = [child for node in nodes for child in _children(node, part, schema)]
    return {key for node in nodes for each in _spread(node, schema) for key in each.get("properties", {})}


def _spread(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _spread(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    choices = [*node.get("anyOf", []), *node.get("oneOf", [])]
    return [each for choice in choices for each in _spread(choice, schema)] if choices else [node]


def _children(node: dict[str, Any], part: int | str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for each in _spread(node, schema):
        if isinstance(part, int):
            found += [each["items"]] if isinstance(each.get("items"), dict) else [each]
        elif part in each.get("properties", {}):
            found.append(each["properties"][part])
        elif part in _TAGS:
            found.append(each)
    return found
