"""The ARM emulator and Android's libraries that are set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.screen.page import NOTE, Page

if TYPE_CHECKING:
    from edgepack.emulator.arm import Entry
    from edgepack.emulator.arm.android_libraries import Libraries


def show(page: Page, found: Entry | None) -> None:
    """The emulator that is set up."""
    if found is None:
        page.line("the ARM emulator is not set up: run `edgepack emulator setup`")
        return
    made = found.made
    page.line(f"{found.folder}, {made.bytes / 1e6:.0f} MB, made in {made.seconds:.0f} s")
    page.line(f"  {made.qemu}")
    for name, version in made.versions.items():
        page.line(f"  {name} {version} for aarch64; its runner is built by {made.compiler}")
    counted = f"are not counted: {made.no_counts}" if made.no_counts else "are counted"
    page.line(f"  instructions {counted}")
    for note in made.notes:
        page.item("note", note, NOTE)


def show_android(page: Page, found: Libraries) -> None:
    """Android's libraries that are set up."""
    made = found.made
    page.line(f"{found.folder}, {made.bytes / 1e6:.0f} MB, made in {made.seconds:.0f} s")
    for each in made.runtimes:
        page.line(f"  {each}")
    page.line(f"  the shim below them is built by {made.compiler}")
