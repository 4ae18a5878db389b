"""The app templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.screen.page import Page
from edgepack.cli.screen.tables import Column

if TYPE_CHECKING:
    from edgepack.app.template import Template

_COLUMNS = [
    Column("template"),
    Column("language"),
    Column("platforms"),
    Column("runtimes"),
    Column("self-test", shortest=12, enough=30, cut="end", rank=1),
]


def show_all(page: Page, found: list[Template]) -> None:
    """A row for each template."""
    rows = [
        [each.name, each.language, " ".join(each.platforms), " ".join(each.formats), each.selftest]
        for each in found
    ]
    page.table(_COLUMNS, rows)


def show(page: Page, found: Template) -> None:
    """One template."""
    page.heading(found.name, found.about)
    page.item("language", found.language)
    page.item("platforms", " ".join(found.platforms))
    page.item("runtimes", " ".join(found.formats))
    page.item("self-test", found.selftest)
