"""An entry of the cache: an emulator that is set up, its metadata and the paths of its parts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgepack.emulator.arm import pins

DONE = "made.json"
"""Metadata, written last: a folder without it is incomplete."""


@dataclass(frozen=True)
class Made:
    """Metadata of an entry."""

    qemu: str
    """First line of `qemu-aarch64 --version`."""
    versions: dict[pins.Runtime, str]
    compiler: str
    no_counts: str
    """Why instructions cannot be counted; empty if they can."""
    seconds: float
    """Duration of the setup."""
    bytes: int
    notes: tuple[str, ...]
    """Deviations from the pinned packages."""


@dataclass(frozen=True)
class Entry:
    """A complete emulator on disk."""

    folder: Path

    @property
    def made(self) -> Made:
        plain = json.loads((self.folder / DONE).read_text(encoding="utf-8"))
        return Made(**{**plain, "notes": tuple(plain["notes"])})

    @property
    def qemu(self) -> Path:
        return self.folder / "qemu/usr/bin/qemu-aarch64"

    @property
    def qemu_libraries(self) -> Path:
        return self.folder / "qemu/usr/lib/x86_64-linux-gnu"

    @property
    def libraries(self) -> Path:
        """The C and C++ libraries of the ARM system."""
        return self.folder / "lib"

    @property
    def counter(self) -> Path:
        return self.folder / "count.so"

    def runner(self, runtime: pins.Runtime) -> Path:
        return self.folder / f"runner-{runtime}"

    def library(self, runtime: pins.Runtime) -> Path:
        """The folder of the libraries of a runtime."""
        return self.folder / runtime / ("lib" if runtime == "executorch" else "capi")
