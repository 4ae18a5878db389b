"""The device's ARM runtime on an x86 host: the very files of a bundle under QEMU, judged and counted."""

from __future__ import annotations

import platform
import sys

from edgepack.emulator.arm import cache, pins
from edgepack.emulator.arm.cache import Entry, clean
from edgepack.emulator.arm.device import Run, run
from edgepack.emulator.arm.fetch import Tell
from edgepack.errors import EdgepackError
from edgepack.report import Cost
from edgepack.target import Target

__all__ = ["Cost", "Entry", "Run", "Tell", "cannot_run", "clean", "run", "setup", "status", "unsuited"]


def unsuited(target: Target, format_name: str) -> str:
    """Why files of a format cannot be run for a target on this host, set up or not; empty if they can."""
    if target.emulator is None:
        return f"the profile of {target.name} has no [emulator]"
    if format_name not in pins.RUNTIMES:
        return f"{format_name} has no runtime for ARM that could be emulated here"
    return _wrong_host() or pins.unknown(pins.RUNTIMES[format_name])


def cannot_run(target: Target, format_name: str) -> str:
    """Why files of a format are not run for a target, with the command that helps; empty if they are."""
    if problem := unsuited(target, format_name):
        return problem
    if cache.entry() is None:
        return f"the ARM emulator is not set up: run `edgepack emulator setup --target {target.name}`"
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
