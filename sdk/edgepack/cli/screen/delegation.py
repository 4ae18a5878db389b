"""What delegates run of a file, and what they do not."""

from __future__ import annotations

from edgepack.cli.screen.page import Page
from edgepack.delegation import Delegation


def show(page: Page, title: str, found: Delegation) -> None:
    """A line on what delegates were given, and one on the operators outside."""
    page.item("delegated", f"{title}: {found}")
    if found.outside:
        page.item("outside", f"{title}: {found.left}")
