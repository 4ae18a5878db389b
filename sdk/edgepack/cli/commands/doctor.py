"""`edgepack doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen


def run(screen: Screen, json: JSON = False) -> None:
    """Show what this host can do: versions, formats, and the command that installs what is missing."""
    import edgepack

    host = edgepack.examine_host()
    if json:
        screen.dump(host)
    else:
        screen.host(host)
