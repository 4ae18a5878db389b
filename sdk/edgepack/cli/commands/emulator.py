"""Set up, show or remove the ARM emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli import command

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

Target = Annotated[
    str,
    typer.Option(
        "--target",
        "-t",
        metavar="TARGET",
        help="First check that this device is emulated.",
        show_default=False,
    ),
]
AndroidLibs = Annotated[
    bool,
    typer.Option(
        "--android-libs",
        help="Also download Android's own ONNX Runtime and ExecuTorch (230 MB), for `check --android-libs`.",
    ),
]


def setup(screen: Screen, target: Target = "", android_libs: AndroidLibs = False) -> None:
    """Download the emulator and its runtimes (105 MB) and build them.

    These are QEMU, the ARM builds of the runtimes, and the programs that run a model file with them. The
    first `build` or `check` that needs them does the same; run this on a machine that will have no network
    later. Needs no root. Every download is pinned by version and SHA-256, and is stored in the cache folder
    (EDGEPACK_CACHE).
    """
    import edgepack
    from edgepack.emulator.arm import android_libraries

    if target and edgepack.load_target(target).emulator is None:
        raise edgepack.TargetError(f"{target} is not emulated: its profile has no [emulator]")
    screen.emulator(edgepack.setup_emulator(screen.tell))
    if android_libs:
        screen.android(android_libraries.setup(screen.tell))


def status(screen: Screen) -> None:
    """Show what is set up: versions, folder and size."""
    import edgepack
    from edgepack.emulator.arm import android_libraries

    screen.emulator(edgepack.find_emulator())
    if libraries := android_libraries.libraries():
        screen.android(libraries)


def clean(screen: Screen) -> None:
    """Remove the emulator from the cache folder."""
    import edgepack

    removed = ", ".join(map(str, edgepack.remove_emulator()))
    screen.tell(f"removed: {removed or 'nothing was there'}")


group = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)
command.add(group, "setup", setup)
command.add(group, "status", status)
command.add(group, "clean", clean)
