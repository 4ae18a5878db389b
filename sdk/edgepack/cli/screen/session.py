"""The session: the streams of one command, and how its errors end it.

While a command works, whatever toolchains print goes to a file; only the screen's own streams,
duplicated before, reach the user. An error shows that file with `--debug`.
"""

from __future__ import annotations

import json as json_module
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from edgepack.cli.screen import (
    app,
    doctor,
    emulator,
    formats,
    inspect,
    monitor,
    plan,
    report,
    sensitivity,
    targets,
    templates,
)
from edgepack.cli.screen.page import FAIL, LABEL, Page
from edgepack.cli.screen.progress import ProgressLine
from edgepack.errors import INTERRUPTED, EdgepackError
from edgepack.silence import captured

if TYPE_CHECKING:
    from edgepack.app.monitoring import Drift, Monitored
    from edgepack.app.render import Rendered
    from edgepack.app.template import Template
    from edgepack.compress.sensitivity import LayerSensitivity
    from edgepack.doctor import Host
    from edgepack.emulator.arm import Entry
    from edgepack.emulator.arm.android_libraries import Libraries
    from edgepack.formats import Description
    from edgepack.plan import Plan
    from edgepack.report import Report
    from edgepack.target import Target

_WIDTH = 100
"""Columns where the output is no terminal."""


class Screen:
    """Open while a command works; turns errors into sentences and exit codes at its end."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug
        self._stack = ExitStack()

    def __enter__(self) -> Screen:
        self._out = self._console(1, stderr=False)
        self._err = self._console(2, stderr=True)
        self.page = Page(self._out)
        self.progress = ProgressLine(self._err)
        self._noise = self._stack.enter_context(tempfile.TemporaryFile())
        self._stack.enter_context(captured(self._noise))
        return self

    def _console(self, number: int, *, stderr: bool) -> Console:
        stream = self._stack.enter_context(
            os.fdopen(os.dup(number), "w", encoding="utf-8", errors="backslashreplace")
        )
        width = None if stream.isatty() else _WIDTH
        return Console(file=stream, width=width, stderr=stderr, highlight=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.end()
        try:
            if isinstance(error, KeyboardInterrupt):
                self._err.print("interrupted; nothing half-written is left")
                raise typer.Exit(INTERRUPTED)
            if isinstance(error, EdgepackError):
                self._show(error)
                raise typer.Exit(error.exit_code) from error
            if error is not None and not isinstance(error, typer.Exit):
                self._replay()
        finally:
            self._stack.close()

    def _show(self, error: EdgepackError) -> None:
        self._err.print(Text.assemble(("error:", FAIL), " ", str(error)), soft_wrap=True)
        if error.hint:
            self._err.print(Text.assemble(("hint:", LABEL), " ", error.hint), soft_wrap=True)
        if self._debug:
            self._replay()
            self._err.print("".join(traceback.format_exception(error)), markup=False)

    def _replay(self) -> None:
        """Show what toolchains printed."""
        sys.stdout.flush()
        self._noise.seek(0)
        self._err.print(self._noise.read().decode(errors="replace"), markup=False)

    def done(self) -> None:
        """The work is over: the bar goes."""
        self.progress.end()

    def exit(self, code: int) -> None:
        """End the command with this exit code."""
        if code:
            raise typer.Exit(code)

    def write(self, text: str) -> None:
        """`text` as it is, on stdout."""
        self._out.file.write(text.rstrip("\n") + "\n")
        self._out.file.flush()

    def dump(self, value: Any) -> None:
        """A value as one JSON document on stdout."""
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        self.write(json_module.dumps(plain, indent=2, default=_dumped))

    def tell(self, sentence: str) -> None:
        """One line on what happens."""
        self.page.line(f"  {sentence}")

    def report(self, found: Report, *, verbose: bool = False) -> None:
        """The result for one target; with `verbose`, its details, too."""
        report.show(self.page, found, verbose=verbose)

    def plan(self, found: Plan) -> None:
        """What a build would do."""
        plan.show(self.page, found)

    def sensitivity(self, layers: Sequence[LayerSensitivity], plot: Path) -> None:
        """What int8 costs each layer."""
        sensitivity.show(self.page, layers, plot)

    def description(self, path: Path, found: Description) -> None:
        """What a model file contains."""
        inspect.show(self.page, path, found)

    def targets(self, found: list[Target]) -> None:
        """The devices."""
        targets.show_all(self.page, found)

    def target(self, found: Target) -> None:
        """One device."""
        targets.show(self.page, found)

    def formats(self, facts: list[dict[str, Any]]) -> None:
        """The formats; of one, everything."""
        formats.show(self.page, facts[0]) if len(facts) == 1 else formats.show_all(self.page, facts)

    def app(self, done: Rendered, goal: Path) -> None:
        """An app that was rendered."""
        app.show(self.page, done, goal)

    def monitored(self, found: Monitored, drifts: Sequence[Drift], plot: Path | None) -> None:
        """What an app has recorded."""
        monitor.show(self.page, found, drifts, plot)

    def templates(self, found: list[Template]) -> None:
        """The templates; of one, everything."""
        templates.show(self.page, found[0]) if len(found) == 1 else templates.show_all(self.page, found)

    def emulator(self, found: Entry | None) -> None:
        """The emulator that is set up."""
        emulator.show(self.page, found)

    def android(self, found: Libraries) -> None:
        """Android's libraries that are set up."""
        emulator.show_android(self.page, found)

    def host(self, found: Host) -> None:
        """What this host can do."""
        doctor.show(self.page, found)


def _dumped(value: object) -> object:
    """A model of pydantic as plain values. Raises TypeError at anything else."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not plain")
