"""The devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.screen.page import Page
from edgepack.cli.screen.tables import Column

if TYPE_CHECKING:
    from edgepack.target import Target

_COLUMNS = [
    Column("target"),
    Column("device", shortest=12, enough=24),
    Column("CPU", shortest=12, enough=20, rank=3),
    Column("memory", "right", rank=1),
    Column("system", shortest=10, enough=12, rank=4),
    Column("formats", shortest=10, cut="end"),
    Column("app", rank=2),
]


def show_all(page: Page, found: list[Target]) -> None:
    """A row for each device."""
    rows = [
        [
            each.name,
            each.title,
            each.cpu.model,
            f"{each.memory.total_mb / 1024:.3g} GB",
            f"{each.os.name} {each.os.floor}+",
            " ".join(choice.name for choice in each.formats),
            each.template or "-",
        ]
        for each in found
    ]
    page.table(_COLUMNS, rows)


def show(page: Page, each: Target) -> None:
    """One device."""
    page.heading(each.name, f"{each.title} ({each.platform})")
    page.item("CPU", f"{each.cpu.cores} cores, {each.cpu.model}; {' '.join(each.cpu.isa)}")
    for one in each.accelerators:
        page.item(one.kind, f"{one.name}, reached by {one.reached_by}")
    page.item("memory", f"{each.memory.total_mb} MiB; {each.threads} threads for inference")
    page.item("system", f"{each.os.name} {each.os.floor} or newer")
    for choice in each.formats:
        given = {key: value for key, value in choice.options.items() if value is not None}
        options = "".join(f"; {key} = {value}" for key, value in given.items())
        page.item("format", f"{choice.name}: {', '.join(choice.schemes)}{options}")
    core = f"QEMU's {each.emulator.cpu}" if each.emulator else "nothing: no [emulator] cpu in its profile"
    page.item("emulated by", core)
    budget = each.budget
    page.item(
        "budget",
        f"file ≤ {budget.size_mb:g} MB, memory ≤ {budget.memory_mb:g} MB, "
        f"agreement ≥ {budget.min_agreement:g} %, SQNR ≥ {budget.min_sqnr_db:g} dB",
    )
    page.item("app", each.template or "none: the target names no template")
