"""`edgepack check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON, VERBOSE

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Bundle = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A bundle: the folder OUT/TARGET.", show_default=False)
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="BUNDLE", help="Fail if a file takes more instructions than the same file of this bundle."
    ),
]


def _not_negative(value: float) -> float:
    if value < 0:
        raise typer.BadParameter("it must not be negative")
    return value


Tolerance = Annotated[
    float,
    typer.Option(
        metavar="PERCENT", callback=_not_negative, help="How many more instructions --against allows."
    ),
]
Emulator = Annotated[
    bool,
    typer.Option(
        "--emulator/--no-emulator",
        help="Also run files for ARM devices on the emulated device. The first use downloads 105 MB, unless "
        "EDGEPACK_OFFLINE=1 is set.",
    ),
]
AndroidLibs = Annotated[
    bool, typer.Option("--android-libs", help="Also run an Android bundle with Android's own libraries.")
]


def run(
    screen: Screen,
    bundle: Bundle,
    against: Against = None,
    tolerance: Tolerance = 0.5,
    emulator: Emulator = True,
    android_libs: AndroidLibs = False,
    verbose: VERBOSE = False,
    json: JSON = False,
) -> None:
    """Run every file of a bundle again and compare it with what the bundle recorded.

    The exit codes are those of `build`.
    """
    import edgepack
    from edgepack import report
    from edgepack.errors import CHECK_FAILED

    found = edgepack.check(
        bundle,
        against=against,
        tolerance=tolerance,
        emulator=emulator,
        android_libs=android_libs,
        progress=screen.progress,
    )
    screen.done()
    if json:
        screen.write(report.to_json(found))
    else:
        screen.report(found, verbose=verbose)
    screen.exit(0 if found.passed else CHECK_FAILED)
