"""The device's ARM runtime on an x86 host: the very files of a bundle under QEMU, judged and counted."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from typing import get_args

from edgepack.emulator.arm import cache, pins
from edgepack.emulator.arm.cache import clean
from edgepack.emulator.arm.entry import Entry
from edgepack.emulator.arm.fetch import Tell
from edgepack.emulator.arm.inference import Run, run
from edgepack.errors import EdgepackError
from edgepack.report import Cost
from edgepack.target import Core, Target

__all__ = ["Cost", "Entry", "Run", "Tell", "clean", "first_use", "run", "setup", "status", "unsuited"]


def unsuited(target: Target, format_name: str) -> str:
    """Why files of a format cannot be run for a target on this host, set up or not; empty if they can."""
    if format_name not in pins.RUNTIMES:
        return f"{format_name} has no runtime for ARM that could be emulated here"
    if target.emulator is None:
        cores = ", ".join(get_args(Core))
        return f"the target names no [emulator] cpu: add to its profile the nearest of {cores}"
    return _wrong_host() or pins.unknown(pins.RUNTIMES[format_name])


def first_use(files: Iterable[tuple[Target, str]], tell: Tell) -> str:
    """Set the emulator up if one of `files`, each a target and a format, needs it and it is not.

    Gives why that failed, with the command that tries again; empty where it did not.
    """
    if cache.entry() or all(unsuited(*each) for each in files):
        return ""
    try:
        setup(lambda what: tell(f"set up the ARM emulator: {what}"))
    except EdgepackError as cause:
        hint = f" ({cause.hint})" if cause.hint else ""
        return f"the ARM emulator is not set up: {cause}{hint}; `edgepack emulator setup` tries again"
    return ""


def _wrong_host() -> str:
    here = (sys.platform, platform.machine())
    return (
        ""
        if here == ("linux", "x86_64")
        else f"the ARM emulator runs on x86_64 Linux, not on {' '.join(here)}"
    )


def setup(tell: Tell) -> Entry:
    """Set the emulator up, if it is not; one serves all targets. Raises EdgepackError with what is amiss."""
    if problem := _wrong_host():
        raise EdgepackError(problem)
    return cache.setup(tell)


def status() -> Entry | None:
    """The emulator that is set up for what is installed here, or None."""
    return cache.entry()
