"""Tables, for the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable

_WIDTH = 140
"""Width if the output is not a terminal."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings. The first `words` columns are words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    notes: tuple[str, ...] = ()
    failed: bool = False
    """The table shows something that must not happen."""

    def markdown(self) -> str:
        """The table in GitHub Markdown, with the title above and the notes below it."""
        ends = [":--" if n < self.words else "--:" for n in range(len(self.columns))]
        lines = [_line(self.columns), _line(ends), *(_line(row) for row in self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines, "", *(f"{note}  " for note in self.notes)])

    def drawn(self) -> RichTable:
        """The table for rich."""
        drawn = RichTable()
        for number, column in enumerate(self.columns):
            drawn.add_column(column, justify="left" if number < self.words else "right")
        for row in self.rows:
            drawn.add_row(*row)
        return drawn


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def show(tables: Sequence[Table], *, markdown: bool) -> None:
    """Print tables on stdout."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for table in tables:
        if markdown:
            print(table.markdown(), end="\n\n")
        else:
            console.print(table.title, style="bold")
            console.print(table.drawn(), *table.notes, sep="\n", end="\n\n", highlight=False)
