"""An app that was rendered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.cli.screen.page import WARN, Page

if TYPE_CHECKING:
    from edgepack.app.render import Rendered


def show(page: Page, done: Rendered, goal: Path) -> None:
    """What was rendered, and where."""
    for change in done.changes:
        page.item(change.what, change.place)
    page.heading(f"{done.template} for {done.file}:", str(goal))
    if not done.proven:
        page.item("not run", "its own runtime did not run this file here: see the report", WARN)
    page.item("self-test", done.selftest)
