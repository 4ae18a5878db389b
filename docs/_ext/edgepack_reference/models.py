"""The reference of the TOML and JSON files that people write, from the pydantic models that validate them."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

from edgepack import formats, options, recipe, target
from edgepack.app import template
from edgepack.contract import Contract
from edgepack_reference.markdown import code, fence, sentence, table

_LOGGER = logging.getLogger(__name__)
_NAMES = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "path",
}


def settings() -> str:
    """`edgepack.toml`, a section for each table."""
    return _file(options.Settings)


def target_file() -> str:
    """A device profile, then the options that each format adds to its `[[formats]]` table."""
    parts = [_file(target.Target, without=("name",))]
    for name in formats.names():
        chosen = formats.load(name).options_model
        if chosen.model_fields:
            parts += [f"## Options of `{name}`\n", *_table_of(chosen, heading=False)]
    return "\n".join(parts)


def recipe_file() -> str:
    """`recipe.toml`."""
    return _file(recipe.RecipeFile)


def template_file() -> str:
    """`template.toml`."""
    return _file(template.Template, without=("name",))


def contract() -> str:
    """`contract.json`, with each kind of input and of output."""
    return _file(Contract)


def contract_schema() -> str:
    """The JSON Schema that the package ships."""
    text = Path(inspect.getfile(Contract)).with_name("contract.schema.json").read_text(encoding="utf-8")
    return fence(json.dumps(json.loads(text), indent=2), "json")


def keywords(model: type[BaseModel], without: tuple[str, ...] = ()) -> str:
    """The fields of a model as keyword arguments."""
    rows = [_row(model, name, field) for name, field in model.model_fields.items() if name not in without]
    return table(["keyword", "type", "default", "description"], rows)


def _file(model: type[BaseModel], without: tuple[str, ...] = ()) -> str:
    fields = {name: field for name, field in model.model_fields.items() if name not in without}
    nested = {name: found for name, field in fields.items() if (found := list(_models(field.annotation)))}
    own = [_row(model, name, field) for name, field in fields.items() if name not in nested]
    parts = ["## Top level\n", table(["key", "type", "default", "description"], own)] if own else []
    for name, found in nested.items():
        brackets = f"[[{name}]]" if _is_list(fields[name].annotation) else f"[{name}]"
        parts.append(f"## `{brackets}`\n")
        parts.append(_description(model, name, fields[name]) + "\n")
        for each in found:
            parts.extend(_table_of(each, heading=len(found) > 1))
    return "\n".join(parts)


def _table_of(model: type[BaseModel], *, heading: bool) -> Iterator[str]:
    if heading:
        kind = model.model_fields["kind"].annotation
        yield f'### `kind = "{get_args(kind)[0]}"`\n'
    yield _docstring(model) + "\n"
    rows = [_row(model, name, field) for name, field in model.model_fields.items() if not field.exclude]
    yield table(["key", "type", "default", "description"], rows)


def _row(model: type[BaseModel], name: str, field: FieldInfo) -> list[str]:
    description = _description(model, name, field)
    if not description and name != "kind":
        _LOGGER.warning("%s.%s has no description: write a docstring below it", model.__name__, name)
    kind = type_of(field.annotation, field.metadata)
    return [code(field.alias or name), kind, _default(field), description]


def _docstring(model: type[BaseModel]) -> str:
    own = model.__dict__.get("__doc__") or ""
    return inspect.cleandoc(own)


def _description(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """What the field says of itself: the help of its flag, its `description`, or the docstring below it."""
    for each in field.metadata:
        if isinstance(each, options.Flag):
            return each.help
    return sentence(field.description or attribute_docstring(model, name))


def attribute_docstring(owner: type, name: str) -> str:
    """The docstring that follows an attribute in the class that declares it; empty without one."""
    for each in owner.__mro__:
        if name in inspect.get_annotations(each):
            docs = ModuleAnalyzer.for_module(each.__module__).find_attr_docs()
            return " ".join(docs.get((each.__qualname__, name), []))
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    for each in field.metadata:
        if isinstance(each, options.Flag) and each.default:
            return each.default
    value = field.get_default(call_default_factory=True)
    if value in (None, "", ()) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return code(json.dumps(list(value)))
    return code(json.dumps(value))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that values of a type are made of: one, or one for each kind."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for each in get_args(annotation):
            yield from _models(each)


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_list(get_args(annotation)[0])
    return get_origin(annotation) in (tuple, list)


def type_of(annotation: Any, metadata: Any = ()) -> str:
    """A type in words, as someone who writes TOML calls it, with its bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(arguments[0], arguments[1:])
    if origin is Literal:
        return " or ".join(code(json.dumps(each)) for each in arguments)
    if origin in (Union, types.UnionType):
        kinds = [type_of(each, metadata) for each in arguments if each is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin in (tuple, list):
        return f"list of {_elements(arguments)}"
    if origin in (dict, types.MappingProxyType) or getattr(origin, "__name__", "") == "Mapping":
        return f"table: key to {type_of(arguments[1])}"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation))) + _bounds(metadata)


def _elements(arguments: tuple[Any, ...]) -> str:
    kinds = [type_of(each) for each in arguments if each is not Ellipsis]
    if Ellipsis in arguments or len(arguments) == 1:
        return _plural(kinds[0])
    return f"{len(kinds)} {_plural(kinds[0])}" if len(set(kinds)) == 1 else ", ".join(kinds)


def _plural(kind: str) -> str:
    for name in ("integer", "number", "boolean", "path"):
        kind = kind.replace(name, f"{name}s")
    return kind


def _bounds(metadata: Any) -> str:
    """The bounds of a number, such as `, ≥ 0` or `, 0 to 100`; empty without any."""
    nested = "".join(_bounds(each.metadata) for each in metadata if isinstance(each, FieldInfo))
    found = {
        name: getattr(each, name)
        for each in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(each, name, None) is not None
    }
    if set(found) == {"ge", "le"}:
        return f", {found['ge']} to {found['le']}{nested}"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return "".join(f", {signs[name]}\N{NO-BREAK SPACE}{value}" for name, value in found.items()) + nested
