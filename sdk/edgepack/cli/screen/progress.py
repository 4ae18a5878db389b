"""Progress on the screen: a live line on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgepack.cli.screen.page import NOTE, PASS
from edgepack.cli.screen.tables import shortened
from edgepack.progress import ProgressState

_REFRESHES = 4
"""Times a second that the live line is drawn."""
_BAR = 12
_FEW_SECONDS, _MINUTES = 10, 90
"""Seconds below which no number is shown, and from which minutes are."""


class ProgressLine:
    """Shows a command's progress on a console."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begun = self._since = clock()
        self._state: ProgressState | None = None
        self._live: Live | None = None

    def show(self, state: ProgressState) -> None:
        """A step begins, or all of them are over."""
        self._state, self._since = state, self._clock()
        if not state.text:
            self.end()
        elif self._console.is_terminal:
            self._draw()
        else:
            left = _left(state, 0.0)
            line = f"[{state.number}/{state.total}] {state.text}" + (f"  ({left})" if left else "")
            self._console.print(line, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Take the live line away."""
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(
                get_renderable=self._line,
                console=self._console,
                refresh_per_second=_REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.refresh()

    def _line(self) -> Text:
        """The bar, the step's number, the time since the beginning, the time left, and what the step does."""
        state = self._state
        if state is None:
            return Text()
        seconds = int(self._clock() - self._begun)
        filled = round(_BAR * state.fraction)
        count = f"{state.number}/{state.total}"
        left = _left(state, self._clock() - self._since)
        line = Text.assemble(
            ("━" * filled, PASS),
            ("━" * (_BAR - filled), NOTE),
            f" {count}  {seconds // 60}:{seconds % 60:02}  ",
            f"{left}  " if left else "",
            no_wrap=True,
        )
        return line.append(shortened(state.text, max(1, self._console.width - 1 - cell_len(line.plain))))


def _left(state: ProgressState, since: float) -> str:
    """The time left in words; empty while too little is known."""
    if not state.is_known:
        return ""
    seconds = state.seconds_left(since)
    if seconds < _FEW_SECONDS:
        return "a few seconds left"
    return f"about {seconds:.0f} s left" if seconds < _MINUTES else f"about {seconds / 60:.0f} min left"
