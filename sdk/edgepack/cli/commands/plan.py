"""`edgepack plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen
    from edgepack.options import BuildOptions


def run(screen: Screen, options: BuildOptions, json: JSON = False) -> None:
    """Show what `build` would do with the same arguments, and why, without doing it."""
    import edgepack
    from edgepack import plan

    settled = edgepack.make_plan(options)
    if json:
        screen.write(plan.to_json(settled))
    else:
        screen.plan(settled)
