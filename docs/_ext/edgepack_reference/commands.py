"""The reference of the command line, from the command tree that typer builds.

Click is vendored in typer, so extensions that import Click (sphinx-click) cannot read it; the attributes
used here are those that Click documents for introspection.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from edgepack.cli import app
from edgepack_reference.markdown import code, fence, sentence, table

PROGRAM = "edgepack"


def reference() -> str:
    """A section for each command: what it does, its arguments, its options with their defaults."""
    group: Any = typer.main.get_command(app)
    seen: dict[tuple[str, ...], str] = {}
    return "\n".join(_section(path, command, seen) for path, command in _commands((PROGRAM,), group))


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below and including `command`, in the order in which help lists them."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _commands((*path, name), child)


def _section(path: tuple[str, ...], command: Any, seen: dict[tuple[str, ...], str]) -> str:
    """One command; `seen` has the commands before it by their options, which are listed once."""
    name = " ".join(path)
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    rest = ["COMMAND", "[ARGS]..."] if hasattr(command, "commands") else [_usage(each) for each in arguments]
    level = "##" if len(path) < 3 else "###"
    parts = [f"{level} {name}\n", fence(" ".join([name, "[OPTIONS]", *rest]))]
    parts.append(inspect.cleandoc(command.help or "") + "\n")
    if arguments:
        rows = [[code(_metavar(each)), sentence(each.help or "")] for each in arguments]
        parts.append(table(["argument", ""], rows))
    same = seen.setdefault(tuple(option.name for option in options), name)
    if same != name and len(options) > 5:
        parts.append(f"The options are those of [{same}](#{same.replace(' ', '-')}).\n")
        return "\n".join(parts)
    for panel in dict.fromkeys(option.rich_help_panel for option in options):
        rows = [_row(option) for option in options if option.rich_help_panel == panel]
        parts.append(table([panel or "option", "", "default"], rows))
    return "\n".join(parts)


def _usage(argument: Any) -> str:
    return _metavar(argument) if argument.required else f"[{_metavar(argument)}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _row(option: Any) -> list[str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names += f" {code(_metavar(option))}"
    text, _, default = (option.help or "").partition("  [default: ")
    return [names, sentence(text), default.removesuffix("]") or _default(option)]


def _default(option: Any) -> str:
    value = option.default() if callable(option.default) else option.default
    if value in (None, "", (), [], False):
        return ""
    return code("yes" if value is True else str(value))
