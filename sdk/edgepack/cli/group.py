"""The group of all commands, which imports a command only when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from edgepack.cli import command
from edgepack.cli.commands import COMMANDS


class LazyCommands(Mapping[str, Any]):
    """The commands by name. A command's flags are made when it is looked up, not to list it."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _made(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def summaries(self) -> Iterator[tuple[str, str]]:
        """The name of every command, and what it does."""
        for name in self:
            module = _module(name)
            yield name, command.summary(module.__doc__ if hasattr(module, "group") else module.run.__doc__)


class Commands(TyperGroup):
    """The group of the commands of `edgepack`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "commands": LazyCommands()})

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of the help."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        del ctx
        assert isinstance(self.commands, LazyCommands)
        with formatter.section("Commands"):
            formatter.write_dl(list(self.commands.summaries()))


def _module(name: str) -> Any:
    return importlib.import_module(f"edgepack.cli.commands.{name}")


def _made(name: str) -> Any:
    """What typer makes of the command `name`."""
    module = _module(name)
    group = getattr(module, "group", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        command.add(group, name, module.run)
    made = typer.main.get_command(group)
    made.name = name
    return made
