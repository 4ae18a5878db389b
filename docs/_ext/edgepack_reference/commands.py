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
    return "\n".join(_section(path, command) for path, command in _commands((PROGRAM,), group))


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below and including `command`, in the order in which help lists them."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _commands((*path, name), child)


def _section(path: tuple[str, ...], command: Any) -> str:
    context = command.context_class(command, info_name=" ".join(path))
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    level = "##" if len(path) < 3 else "###"
    parts = [f"{level} {' '.join(path)}\n", fence(usage), inspect.cleandoc(command.help or "") + "\n"]
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    if arguments:
        rows = [[code(each.metavar or each.name.upper()), sentence(each.help or "")] for each in arguments]
        parts.append(table(["argument", ""], rows))
    for panel in dict.fromkeys(each.rich_help_panel for each in options):
        rows = [_row(each) for each in options if each.rich_help_panel == panel]
        parts.append(table([f"{panel.lower()} option" if panel else "option", "", "default"], rows))
    return "\n".join(parts)


def _row(option: Any) -> list[str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names += f" {code(option.metavar or option.name.upper())}"
    several = " (can be repeated)" if option.multiple else ""
    return [names + several, sentence(option.help or ""), _default(option)]


def _default(option: Any) -> str:
    value = option.default() if callable(option.default) else option.default
    if value in (None, "", (), [], False):
        return ""
    return code("yes" if value is True else str(value))
