"""`edgepack formats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Name = Annotated[str, typer.Argument(metavar="FORMAT", help="Describe this format only.", show_default=False)]


def run(screen: Screen, name: Name = "", json: JSON = False) -> None:
    """List the model file formats and their schemes, or describe one."""
    import edgepack
    from edgepack import formats

    facts = [formats.facts(formats.checked(name))] if name else edgepack.list_formats()
    if json:
        screen.dump(facts[0] if name else facts)
    else:
        screen.formats(facts)
