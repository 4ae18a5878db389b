"""What int8 costs each layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.cli.screen.figures import number
from edgepack.cli.screen.page import Page
from edgepack.cli.screen.tables import Column

if TYPE_CHECKING:
    from edgepack.compress.sensitivity import LayerSensitivity

_COLUMNS = [
    Column("layer", shortest=16, enough=28),
    Column("SQNR dB", "right"),
    Column("agree %", "right"),
    Column("bytes saved", "right"),
    Column("of bytes %", "right", rank=1),
    Column("multiply-adds", "right"),
    Column("of work %", "right", rank=1),
]


def show(page: Page, layers: Sequence[LayerSensitivity], plot: Path) -> None:
    """The layers, the one that costs most first."""
    rows = [
        [
            each.path,
            number(each.sqnr_db, ".1f"),
            number(each.agreement, ".1f"),
            f"{each.bytes_saved:,}",
            f"{100 * each.share_of_bytes:.1f}",
            f"{each.multiply_adds:,}",
            f"{100 * each.share_of_work:.1f}",
        ]
        for each in layers
    ]
    page.heading("Each layer alone in int8, by simulation")
    page.table(_COLUMNS, rows)
    page.line(f"  plot: {plot}")
