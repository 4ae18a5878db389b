"""`edgepack app`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Bundle = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A bundle: the folder OUT/TARGET.", show_default=False)
]
Template = Annotated[
    str,
    typer.Option(
        metavar="TEMPLATE",
        help="App template to render; `edgepack templates` lists them.  [default: the target's]",
    ),
]
Format = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help="Format whose model file the app runs.  [default: the first that passed its checks]",
    ),
]
Package = Annotated[
    str,
    typer.Option(metavar="PACKAGE", help="Package of the app's code.  [default: com.example.MODEL]"),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Output folder.  [default: BUNDLE/app]")]
Force = Annotated[bool, typer.Option("--force", help="Replace an app even if it was changed.")]


def run(
    screen: Screen,
    bundle: Bundle,
    template: Template = "",
    format: Format = "",
    package: Package = "",
    out: Out = None,
    force: Force = False,
    json: JSON = False,
) -> None:
    """Render an app that runs the model of a bundle.

    The app contains the model, its labels and golden vectors, feeds the model as the contract says, and does
    not need edgepack: copy it anywhere. Rendering twice gives the same bytes. An app that was changed is
    replaced only with --force; otherwise the error lists what would change.
    """
    import edgepack

    done = edgepack.render_app(
        bundle, template=template, format=format, package=package, out=out, force=force
    )
    if json:
        screen.dump(done)
    else:
        screen.app(done, out or bundle / "app")
