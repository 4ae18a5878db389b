"""The command line: parses, calls the Python API, prints.

Nothing is imported before a command needs it: `edgepack --help` must be quick.
"""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from edgepack.cli.group import Commands

app = typer.Typer(
    name="edgepack",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "One command from a PyTorch model and a device to model files that are quantized for the device, run "
        "on this host and compared with the float model, and the code of an app that runs them. Nothing "
        "leaves this machine. Only the first setup of the ARM emulator needs a network.\n\n"
        "Start with `edgepack targets`, then "
        "`edgepack build net.py:model --target raspberry-pi-5 --input image:224 --calib photos/`.\n\n"
        "Exit codes: 0 all checks passed; 10 a check failed (the bundle is written and says which); "
        "2 usage or target, 3 plan, 4 export, 5 model or samples, 6 bundle; 130 interrupted."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"edgepack {metadata.version('edgepack')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def _terminate(number: int, frame: object) -> None:
    """End on SIGTERM as on Ctrl-C, so that temporary folders are removed."""
    del number, frame
    raise KeyboardInterrupt


def main() -> None:
    """The `edgepack` command."""
    signal.signal(signal.SIGTERM, _terminate)
    app()


if __name__ == "__main__":
    main()
