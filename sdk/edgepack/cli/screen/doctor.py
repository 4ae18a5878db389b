"""What this host can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.screen import formats
from edgepack.cli.screen.page import FAIL, PASS, WARN, Page
from edgepack.cli.screen.tables import Cell, Column

if TYPE_CHECKING:
    from edgepack.doctor import Ability, Host, Package

_PACKAGES = [Column("package"), Column("installed"), Column("known to work", shortest=10)]
_FORMATS = [Column("format"), Column("write here"), Column("run here")]


def show(page: Page, found: Host) -> None:
    """Packages with their versions, formats, and the commands that bring what is missing."""
    page.line(f"Python {found.python} on {found.system}")
    page.line()
    page.table(_PACKAGES, [[each.name, _installed(each), each.known] for each in found.packages])
    for remedy in dict.fromkeys(each.remedy for each in found.packages if each.remedy):
        names = [each.name for each in found.packages if each.remedy == remedy]
        page.item("missing", f"{', '.join(names)}: {remedy}", WARN)
    for package in found.packages:
        if package.problem:
            page.item(
                "import",
                f"{package.name} cannot be imported ({package.problem}): install it from the index that "
                "torch came from. Models and transforms work in edgepack, which declares what is missing; "
                "compiled operators such as nms do not.",
                WARN,
            )
    page.line()
    page.table(_FORMATS, [_ability(each) for each in found.abilities])
    for each in found.abilities:
        formats.reasons(page, each.format, each.cannot_export, each.cannot_run, each.evaluator)


def _ability(found: Ability) -> list[str]:
    write = "no" if found.cannot_export else "yes"
    return [found.format, write, formats.run_here(found.cannot_run, found.evaluator)]


def _installed(package: Package) -> Cell:
    style = PASS if package.fits and not package.problem else FAIL if package.installed else WARN
    return Cell(package.installed or "not installed", style)
