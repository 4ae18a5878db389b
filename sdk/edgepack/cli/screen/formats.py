"""The model file formats."""

from __future__ import annotations

from typing import Any

from edgepack.cli.screen.page import WARN, Page
from edgepack.cli.screen.tables import Column

_COLUMNS = [
    Column("format"),
    Column("file", rank=1),
    Column("schemes", shortest=16, cut="end"),
    Column("write here"),
    Column("run here"),
    Column("what it is", shortest=20, cut="end", enough=30, rank=2),
]


def show_all(page: Page, facts: list[dict[str, Any]]) -> None:
    """A row for each format, then the reasons of what this host cannot do."""
    rows = [
        [
            each["name"],
            each["suffix"],
            " ".join(each["schemes"]),
            "no" if each["cannot_export"] else "yes",
            run_here(each["cannot_run"], each["evaluator"]),
            str(each["about"]),
        ]
        for each in facts
    ]
    page.table(_COLUMNS, rows)
    for each in facts:
        reasons(page, each["name"], each["cannot_export"], each["cannot_run"], each["evaluator"])


def show(page: Page, found: dict[str, Any]) -> None:
    """One format."""
    page.heading(found["name"], str(found["about"]))
    page.item("file", found["suffix"])
    page.item("schemes", " ".join(found["schemes"]))
    page.item("write here", found["cannot_export"] or "yes")
    page.item("run here", found["evaluator"] or found["cannot_run"] or "yes")


def run_here(cannot_run: str, evaluator: str) -> str:
    """Whether a format's files are run on this host, in a word."""
    return "evaluated" if evaluator else "no" if cannot_run else "yes"


def reasons(page: Page, name: str, cannot_export: str, cannot_run: str, evaluator: str) -> None:
    """Why a format is not written or not run by its own runtime here, a line each."""
    if cannot_export:
        page.item(name, f"not written here: {cannot_export}", WARN)
    if evaluator or cannot_run:
        page.item(name, evaluator or f"not run here: {cannot_run}", "" if evaluator else WARN)
