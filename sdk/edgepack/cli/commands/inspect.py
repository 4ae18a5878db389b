"""`edgepack inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A model file: .pte, .onnx, .ort, .mlpackage or .ptl.", show_default=False
    ),
]


def run(screen: Screen, path: File, json: JSON = False) -> None:
    """Show what a model file contains: inputs, outputs, operators, precision, bytes by layer."""
    import edgepack

    description = edgepack.inspect(path)
    if json:
        screen.dump(description)
    else:
        screen.description(path, description)
