"""`edgepack targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Name = Annotated[str, typer.Argument(metavar="TARGET", help="Describe this device only.", show_default=False)]


def run(screen: Screen, name: Name = "", json: JSON = False) -> None:
    """List the devices, or describe one."""
    import edgepack

    targets = [edgepack.load_target(name)] if name else edgepack.list_targets()
    if json:
        documents = [target.model_dump(mode="json") for target in targets]
        screen.dump(documents[0] if name else documents)
    elif name:
        screen.target(targets[0])
    else:
        screen.targets(targets)
