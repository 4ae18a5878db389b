"""An emulator that is set up: its folder in the cache, what it was made of, and where its parts are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgepack.emulator.arm import pins

DONE = "made.json"
"""Written last: a folder without it is not whole."""


@dataclass(frozen=True)
class Made:
    """What an entry was made of."""

    qemu: str
    """Its own word on its version."""
    versions: dict[pins.Runtime, str]
    compiler: str
    no_counts: str
    """Why nothing can be counted; empty where it can."""
    seconds: float
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A whole emulator on disk."""

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
        """The ARM system's own libraries."""
        return self.folder / "lib"

    @property
    def counter(self) -> Path:
        return self.folder / "count.so"

    def runner(self, runtime: pins.Runtime) -> Path:
        return self.folder / f"runner-{runtime}"

    def library(self, runtime: pins.Runtime) -> Path:
        """The folder of a runtime's own libraries."""
        return self.folder / runtime / ("lib" if runtime == "executorch" else "capi")
