"""The page: lines, labelled lines and tables on one stream, as wide as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from edgepack.cli.screen.tables import Cell, Column, fitted

PASS, FAIL, WARN, LABEL, NOTE = "green", "bold red", "magenta", "bold", "dim"
"""Styles that can be read on dark and on light backgrounds: no white, no yellow, no cyan."""
_LABEL_WIDTH = 12
_INDENT = 2 + _LABEL_WIDTH + 2
_KEY_WIDTH = 14
_NARROW = 50
"""Columns of a terminal below which texts are not indented."""


class Page:
    """What a command's rendering is written on."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @property
    def width(self) -> int:
        """Cells of a line."""
        return self._console.width

    def line(self, text: str = "", style: str = "") -> None:
        """A line of its own; a terminal breaks it where it ends."""
        self._console.print(Text(text, style), soft_wrap=True)

    def heading(self, title: str, rest: str = "") -> None:
        """A title in bold, and what follows it."""
        self._wrapped(Text(title, LABEL), rest, indent=2)

    def item(self, label: str, text: str, style: str = LABEL) -> None:
        """A label and a text; on a terminal, the text is wrapped beside the label."""
        self._wrapped(Text(f"  {label:<{_LABEL_WIDTH}}  ", style), text, indent=_INDENT)

    def fact(self, key: str, value: str) -> None:
        """A key, aligned to the right, and its value."""
        self._wrapped(Text(f"{key:>{_KEY_WIDTH}}  ", LABEL), value, indent=_KEY_WIDTH + 2)

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], *, header: bool = True
    ) -> None:
        """A table that fits the page."""
        for line in fitted(columns, rows, self.width, header=header):
            self._console.print(line, soft_wrap=True)

    def _wrapped(self, start: Text, text: str, indent: int) -> None:
        """`start`, then `text`: in one line where the stream is no terminal, so that it can be searched."""
        separator = "" if start.plain.endswith(" ") or not text else "  "
        whole = Text.assemble(start, separator, text)
        if not self._console.is_terminal or self.width < _NARROW:
            self._console.print(whole, soft_wrap=True)
            return
        first, *rest = whole.wrap(self._console, self.width) or [whole]
        self._console.print(first, soft_wrap=True)
        if rest:
            left = Text(whole.plain[len(first.plain) :].lstrip())
            for line in left.wrap(self._console, self.width - indent):
                self._console.print(Text(" " * indent) + line, soft_wrap=True)
