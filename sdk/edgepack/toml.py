"""Read and validate TOML files that people write; problems become sentences."""

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
    """Base of the models of such files: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def near(word: str, words: list[str]) -> str:
    """`did you mean 'x'?` with the word of `words` nearest to `word`; else the list of `words`."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(sorted(words))}"


def read(path: Path, error: type[EdgepackError]) -> dict[str, Any]:
    """The tables of a TOML file. Raises `error` if it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
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


def _sentence(problem: Any, model: type[BaseModel], inside: str) -> str:
    keys = _keys(problem["loc"], model.model_json_schema())
    place = ".".join([inside] * bool(inside) + [key for key, _ in keys])
    if problem["type"] == "extra_forbidden":
        key, nodes = keys[-1]
        known = sorted({name for node in nodes for name in node.get("properties", {})})
        return f"unknown key '{place}': {near(key, known)}"
    if problem["type"] == "missing":
        return f"key '{place}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"'{place}' {message[0].lower()}{message[1:]}" if place else message


Node = dict[str, Any]
"""A part of a JSON Schema."""


def _keys(location: tuple[int | str, ...], schema: Node) -> list[tuple[str, list[Node]]]:
    """The keys of a location as people write it, each with the nodes of `schema` that contain it.

    Pydantic's locations also contain the tag of a discriminated union, which is no key: it is left out.
    """
    found: list[tuple[str, list[Node]]] = []
    nodes = [schema]
    for part in location:
        tagged = [variant for node in nodes for variant in _tagged(node, part, schema)]
        if tagged:
            nodes = tagged
            continue
        nodes = [variant for node in nodes for variant in _variants(node, schema)]
        found.append((str(part), nodes))
        nodes = [child for node in nodes for child in _children(node, part)]
    return found


def _resolved(node: Node, schema: Node) -> Node:
    return schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def _choices(node: Node) -> list[Node]:
    return [*node.get("anyOf", []), *node.get("oneOf", [])]


def _tagged(node: Node, part: int | str, schema: Node) -> list[Node]:
    """The variants of a discriminated union with the tag `part`; none if `node` is no such union."""
    node = _resolved(node, schema)
    if "discriminator" not in node:
        return [found for choice in _choices(node) for found in _tagged(choice, part, schema)]
    reference = node["discriminator"]["mapping"].get(part)
    return [_resolved({"$ref": reference}, schema)] if reference else []


def _variants(node: Node, schema: Node) -> list[Node]:
    """`node`, or the members of the union that it is."""
    node = _resolved(node, schema)
    choices = _choices(node)
    return [found for choice in choices for found in _variants(choice, schema)] if choices else [node]


def _children(node: Node, part: int | str) -> list[Node]:
    if isinstance(part, int):
        return [node["items"]] if isinstance(node.get("items"), dict) else [node]
    return [node["properties"][part]] if part in node.get("properties", {}) else []
