"""Tables: they fit the width, no cell is wrapped, names are shortened in the middle."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from edgepack.cli.screen.tables import Cell, Column, fitted, shortened

COLUMNS = [
    Column("file", shortest=10, enough=20),
    Column("MB", "right"),
    Column("empty"),
    Column("why", shortest=8, cut="end", rank=1),
    Column("SQNR dB", "right", rank=2),
]
ROWS: list[list[str | Cell]] = [
    ["mobilenet_v2-w8a8.mlpackage", "3.501", "", "it is slower than float", "35.2"],
    [Cell("☃" * 9, "bold"), "12.250", "", "shipped", "7.0"],
]


def texts(width: int) -> list[str]:
    return [line.plain for line in fitted(COLUMNS, ROWS, width)]


def test_a_wide_table_shows_every_column_that_has_content() -> None:
    header, first, _ = texts(120)
    assert header.split() == ["file", "MB", "why", "SQNR", "dB"]
    assert first == "  mobilenet_v2-w8a8.mlpackage   3.501  it is slower than float     35.2"


@pytest.mark.parametrize("width", range(24, 121))
def test_it_fits_every_width_in_one_line_a_row(width: int) -> None:
    lines = fitted(COLUMNS, ROWS, width)
    assert len(lines) == 1 + len(ROWS)
    assert all(cell_len(line.plain) <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)


def test_columns_of_high_rank_are_left_out_first() -> None:
    titles = [[name for name in ("MB", "why", "SQNR") if name in texts(width)[0]] for width in (80, 60, 40)]
    assert titles == [["MB", "why", "SQNR"], ["MB", "why"], ["MB"]]


def test_figures_end_below_each_other() -> None:
    _, first, second = texts(40)
    assert cell_len(first) == cell_len(second)
    assert first.endswith(" 3.501")


def test_a_name_is_shortened_in_the_middle_and_prose_at_its_end() -> None:
    assert shortened("features.18.0.weight", 11) == "featu…eight"
    assert shortened("it is slower than float", 12, "end") == "it is slowe…"
    assert shortened("short", 5) == "short"
    assert cell_len(shortened("☃雪" * 9, 7)) <= 7


def test_styles_are_kept() -> None:
    line = fitted(COLUMNS, ROWS, 80)[2]
    assert [span.style for span in line.spans if span.style] == ["bold"]
