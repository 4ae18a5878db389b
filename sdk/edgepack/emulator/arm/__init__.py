"""Run the model files of a bundle in the ARM build of their runtime, under QEMU on an x86 host."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from typing import get_args

from edgepack.emulator.arm import cache, fetch, pins
from edgepack.emulator.arm.cache import clean
from edgepack.emulator.arm.entry import Entry
from edgepack.emulator.arm.fetch import Tell
from edgepack.emulator.arm.inference import Run, run
from edgepack.errors import EdgepackError
from edgepack.report import Cost
from edgepack.target import Core, Target

__all__ = [
    "Cost",
    "Entry",
    "Run",
    "Tell",
    "clean",
    "first_use",
    "is_available",
    "run",
    "setup",
    "status",
    "unsuited",
]


def unsuited(target: Target, format_name: str) -> str:
    """Why the emulator cannot run files of a format for a target, even after setup; empty if it can."""
    if format_name not in pins.RUNTIMES:
        return f"{format_name} has no ARM runtime that can be emulated"
    if target.emulator is None:
        cores = ", ".join(get_args(Core))
        return f"the target has no [emulator] cpu: add the most similar core to its profile ({cores})"
    return _wrong_host() or pins.unknown(pins.RUNTIMES[format_name])


def first_use(files: Iterable[tuple[Target, str]], tell: Tell) -> str:
    """Set the emulator up if it is not, and if one of `files` (targets and formats) needs it.

    Returns why that failed, with the command that tries again; empty if it did not fail.
    """
    if cache.entry() or all(unsuited(target, format_name) for target, format_name in files):
        return ""
    try:
        setup(lambda step: tell(f"set up the ARM emulator: {step}"))
    except EdgepackError as cause:
        hint = f" ({cause.hint})" if cause.hint else ""
        return f"the ARM emulator is not set up: {cause}{hint}; `edgepack emulator setup` tries again"
    return ""


def is_available() -> bool:
    """Whether the emulator is set up, or nothing is known that keeps `first_use` from doing so."""
    return cache.entry() is not None or not (_wrong_host() or fetch.is_offline())


def _wrong_host() -> str:
    host = (sys.platform, platform.machine())
    if host == ("linux", "x86_64"):
        return ""
    return f"the ARM emulator runs on x86_64 Linux, not on {' '.join(host)}"


def setup(tell: Tell) -> Entry:
    """Set the emulator up, once for all targets. Raises EdgepackError with the step that failed."""
    if problem := _wrong_host():
        raise EdgepackError(problem)
    return cache.setup(tell)


def status() -> Entry | None:
    """The emulator that is set up for the installed runtimes, or None."""
    return cache.entry()
