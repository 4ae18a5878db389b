"""Flags of the command line, made from the fields of `BuildOptions`."""

from __future__ import annotations

from inspect import Parameter
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from edgepack.options import BuildOptions, Flag

ARGUMENT = "model"


def parameters(names: tuple[str, ...]) -> list[Parameter]:
    """The command's parameters for these options, all if there are none; the argument comes first."""
    wanted = names or tuple(BuildOptions.model_fields)
    fields = {name: field for name, field in BuildOptions.model_fields.items() if name in wanted}
    return [_argument(fields.pop(ARGUMENT)), *(_option(name, field) for name, field in fields.items())]


def _argument(field: FieldInfo) -> Parameter:
    flag = _flag(field)
    argument = typer.Argument(help=flag.help, metavar=flag.metavar, show_default=False)
    return Parameter(ARGUMENT, Parameter.KEYWORD_ONLY, annotation=Annotated[str, argument])


def _option(name: str, field: FieldInfo) -> Parameter:
    flag = _flag(field)
    kind: Any = list[str] if field.annotation == tuple[str, ...] else field.annotation
    default = list(field.default) if kind == list[str] else field.default
    option = typer.Option(
        flag.name or f"--{name.replace('_', '-')}",
        *([flag.short] if flag.short else []),
        help=f"{flag.help}  [default: {flag.default}]" if flag.default else flag.help,
        metavar=flag.metavar or None,
        show_default=default not in (None, "", [], False),
        rich_help_panel=flag.panel or None,
    )
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _flag(field: FieldInfo) -> Flag:
    (flag,) = (each for each in field.metadata if isinstance(each, Flag))
    return flag
