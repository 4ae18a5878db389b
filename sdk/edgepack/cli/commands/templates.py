"""`edgepack templates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Name = Annotated[
    str, typer.Argument(metavar="TEMPLATE", help="Describe this template only.", show_default=False)
]


def run(screen: Screen, name: Name = "", json: JSON = False) -> None:
    """List the app templates, or describe one."""
    import edgepack
    from edgepack.app import template

    templates = [template.load(name)] if name else edgepack.list_templates()
    if json:
        documents = [each.model_dump(mode="json") for each in templates]
        screen.dump(documents[0] if name else documents)
    else:
        screen.templates(templates)
