"""Progress on the screen: a live bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_FEW_STEPS = 3


class Steps:
    """Progress: a live bar on a terminal, a line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0
        self._total = 0
        self._begun = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, steps: int) -> None:
        """About `steps` steps will follow."""
        self._total = steps
        self._begun = time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
            text = TextColumn("{task.description}")
            self._bar = Progress(*columns, TimeElapsedColumn(), text, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=steps)
            self._bar.start()

    def step(self, doing: str) -> None:
        """A step begins."""
        self._number += 1
        self._total = max(self._total, self._number)
        doing += self._left()
        if self._bar and self._task is not None:
            done = self._number - 1
            self._bar.update(self._task, completed=done, total=self._total, description=escape(doing))
        else:
            self._console.print(f"[{self._number}/{self._total}] {doing}", markup=False, soft_wrap=True)

    def _left(self) -> str:
        """How long is left, by how long the steps so far took; nothing while that says little."""
        done = self._number - 1
        if done < _FEW_STEPS:
            return ""
        seconds = (time.monotonic() - self._begun) / done * (self._total - done)
        return f"  (about {seconds:.0f} s left)" if seconds < 90 else f"  (about {seconds / 60:.0f} min left)"

    def end(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
            self._bar = None
