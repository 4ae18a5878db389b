"""Tables that fit the width: columns are left out or shortened, cells are never wrapped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 2
"""Spaces between columns, and before the first."""
_ELLIPSIS = "…"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    align: Literal["left", "right"] = "left"
    shortest: int = 0
    """Cells to which it may be shortened; 0: it is never shortened."""
    enough: int = 0
    """Cells that it keeps when columns of a rank are shown; 0: its full width."""
    cut: Literal["middle", "end"] = "middle"
    """Where its texts are shortened: names in the middle, prose at the end."""
    rank: int = 0
    """The column of the highest rank is left out first where the width does not suffice; 0: never."""


@dataclass(frozen=True)
class Cell:
    """A text with a style of rich."""

    text: str
    style: str = ""


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], width: int, *, header: bool = True
) -> list[Text]:
    """The lines of a table in at most `width` cells: the header, then the rows.

    A column whose cells are all empty is left out. The lines are longer than `width` only where the columns
    that may not be shortened are.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    titles = [column.title if header else "" for column in columns]
    shown = [n for n in range(len(columns)) if any(row[n].text for row in cells)]
    natural = [
        max([cell_len(titles[n]), *(cell_len(row[n].text) for row in cells)]) for n in range(len(columns))
    ]
    shown = _that_fit(columns, shown, natural, width)
    widths = _shortened(columns, shown, natural, width)
    lines = [_line([Cell(titles[n], "bold") for n in shown], columns, shown, widths)] if header else []
    return lines + [_line([row[n] for n in shown], columns, shown, widths) for row in cells]


def shortened(text: str, width: int, cut: Literal["middle", "end"] = "middle") -> str:
    """`text` in at most `width` cells, an ellipsis in the place of what is left out."""
    if cell_len(text) <= width:
        return text
    if cut == "end":
        return set_cell_size(text, width - 1).rstrip() + _ELLIPSIS
    tail = (width - 1) // 2
    head = width - 1 - tail
    start, end = set_cell_size(text, head).rstrip(), text
    while cell_len(end) > tail:
        end = end[1:]
    return start + _ELLIPSIS + end


def _that_fit(columns: Sequence[Column], shown: list[int], natural: list[int], width: int) -> list[int]:
    """The columns that are shown: those of a rank only where all others have enough."""
    wanted = {n: min(natural[n], columns[n].enough or natural[n]) for n in shown}
    for rank in sorted({columns[n].rank for n in shown} - {0}, reverse=True):
        if _total([wanted[n] for n in shown]) <= width:
            break
        shown = [n for n in shown if columns[n].rank != rank]
    return shown


def _shortened(columns: Sequence[Column], shown: list[int], natural: list[int], width: int) -> dict[int, int]:
    """Widths of the columns: the widest of those that may be is shortened until all fit."""
    widths = {n: natural[n] for n in shown}
    while _total(widths.values()) > width:
        able = [n for n in shown if columns[n].shortest and widths[n] > columns[n].shortest]
        if not able:
            break
        widths[max(able, key=lambda n: widths[n])] -= 1
    return widths


def _total(widths: Collection[int]) -> int:
    return sum(widths) + GAP * len(widths)


def _line(cells: list[Cell], columns: Sequence[Column], shown: list[int], widths: dict[int, int]) -> Text:
    line = Text(no_wrap=True)
    for n, cell in zip(shown, cells):
        text = shortened(cell.text, widths[n], columns[n].cut)
        free = " " * (widths[n] - cell_len(text))
        line.append(" " * GAP)
        line.append(free if columns[n].align == "right" else "")
        line.append(text, cell.style or None)
        line.append("" if columns[n].align == "right" else free)
    line.rstrip()
    return line
