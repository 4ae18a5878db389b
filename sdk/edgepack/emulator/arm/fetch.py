"""Fetch: packages of pip, apt-get and npm, each checked against its sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from edgepack.emulator.arm.pins import WHEELS, ZIG, Debian, Runtime
from edgepack.errors import EdgepackError

Tell = Callable[[str], None]
OFFLINE = "EDGEPACK_OFFLINE"
"""Of the environment: nothing is fetched where it is set, to anything but 0."""
PATIENCE = 20.0
"""Seconds within which the package index must answer. Left alone, pip and apt-get try for minutes where a
network drops what it is sent."""
_BY_HAND = "run it again where the package registries can be reached"
_NPM = "https://registry.npmjs.org"
_APT = ("Acquire::Retries=1", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20")
_PIP = ("-m", "pip", "--no-input", "--no-cache-dir", "--disable-pip-version-check")
_ARM = ("--platform=manylinux_2_28_aarch64", "--platform=manylinux_2_27_aarch64", "--python-version=3.11")
_WHEELS = (*_ARM, "--implementation=cp", "--abi=cp311", "--only-binary=:all:")


def cannot_unpack() -> str:
    """Why Debian's packages cannot be had on this host; empty where they can."""
    absent = [each for each in ("apt-get", "dpkg-deb") if not shutil.which(each)]
    return f"this system has no {' and no '.join(absent)}" if absent else ""


def reach(tell: Tell) -> None:
    """Raise EdgepackError where nothing may be fetched, or pip's package index gives no answer in time."""
    permit()
    tell("reaching the package index")
    line = [sys.executable, *_PIP, "--retries=0", "index", "versions", *_WHEELS, "onnxruntime"]
    doing = "reaching pip's package index"
    try:
        _run(line, doing, PATIENCE)
    except subprocess.TimeoutExpired:
        raise EdgepackError(f"{doing}: no answer within {PATIENCE:g} s", hint=_BY_HAND) from None


def permit() -> None:
    """Raise EdgepackError where nothing may be fetched."""
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise EdgepackError(f"{OFFLINE} is set, so nothing is fetched", hint="unset it, with a network")


def debian(packages: tuple[Debian, ...], folder: Path, tell: Tell, release: str = "") -> None:
    """Download and unpack packages of the system's archive into `folder`; nothing is installed.

    They are of the system's own release of Debian, or of `release`, which the archive must hold as well.
    Where the archive no longer has a pinned version, its newest is taken, and told.
    Raises EdgepackError where a package cannot be had or is not what its hash says.
    """
    permit()
    debs = folder.with_name(f"{folder.name}-debs")
    debs.mkdir()
    apt = _Apt(debs, release)
    for package in packages:
        path, pinned = apt.download(package)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if not pinned:
            name = path.name.replace("%3a", ":")
            tell(f"{package.name} {package.version} is gone from the archive; took {name}, sha256 {found}")
        elif found != package.sha256:
            raise EdgepackError(f"{path.name} is not the file that edgepack knows: its sha256 is {found}")
        _run(["dpkg-deb", "--extract", str(path), str(folder)], "unpacking a Debian package")
    shutil.rmtree(debs)


class _Apt:
    """apt-get with the system's lists, or with lists of its own where those do not know a package, or where
    packages are of another release than the system's."""

    def __init__(self, folder: Path, release: str) -> None:
        self._folder = folder
        self._release = release
        self._options: list[str] = []
        """Those that name lists of our own; empty while the system's serve."""
        self._said = ""
        self._unread = ""
        """What apt-get said of lists that it could not read, which alone is no failure of its."""

    def download(self, package: Debian) -> tuple[Path, bool]:
        """The downloaded file, and whether it is of the pinned version."""
        for name in (f"{package.name}={package.version}", package.name):
            if self._get(name):
                (path,) = self._folder.glob(f"{package.name}_*.deb")
                return path, name != package.name
        raise _failed(
            ["apt-get"], self._unread or self._said, f"downloading the Debian package {package.name}"
        )

    def _get(self, name: str) -> bool:
        if (self._options or not self._release) and self._try(name):
            return True
        if not self._options:
            self._update()
            return self._try(name)
        return False

    def _try(self, name: str) -> bool:
        ended = subprocess.run(self._line("download", name), cwd=self._folder, capture_output=True, text=True)
        self._said = ended.stderr
        return ended.returncode == 0

    def _line(self, *words: str) -> list[str]:
        chosen = [word for each in ("APT::Sandbox::User=root", *_APT) for word in ("-o", each)]
        return ["apt-get", *self._options, *chosen, *words]

    def _update(self) -> None:
        """Read the archive's lists into a folder of our own: the system's may be old, or absent."""
        own = self._folder / "apt"
        for each in ("state", "lists/partial", "cache/archives/partial"):
            (own / each).mkdir(parents=True)
        chosen = {
            "Dir::State": own / "state",
            "Dir::State::lists": own / "lists",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": own / "cache",
            "Debug::NoLocking": "1",
        }
        if self._release:
            sources = own / "sources.list"
            sources.write_text(f"deb {_archive()} {self._release} main\n", encoding="utf-8")
            chosen |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"}
        self._options = [word for key, value in chosen.items() for word in ("-o", f"{key}={value}")]
        said = _run(self._line("update"), "reading the package lists")
        self._unread = "\n".join(each for each in said.splitlines() if each.startswith("W: Failed to fetch"))


def _archive() -> str:
    """Where the system's own packages come from. Raises EdgepackError where it is no Debian."""
    line = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(COMPONENT)"]
    told = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    for each in told.splitlines():
        origin, _, rest = each.partition(" ")
        address, _, component = rest.partition(" ")
        if (origin, component) == ("Debian", "main") and "security" not in address:
            return address
    raise EdgepackError("this system's packages come from no archive of Debian's")


def wheel(runtime: Runtime, version: str, folder: Path) -> Path:
    """Download the aarch64 wheel of a runtime from the index that pip is set to.

    Raises EdgepackError where it cannot be had; pip itself refuses a file of another hash.
    """
    return pypi(runtime, version, WHEELS[runtime][version], _WHEELS, folder)


def zig(folder: Path) -> None:
    """Download Zig, which is a compiler for any system, and unpack it into `folder`.

    Raises EdgepackError where it cannot be had.
    """
    version, sha256 = ZIG
    wanted = ("--platform=manylinux_2_12_x86_64", "--only-binary=:all:")
    path = pypi("ziglang", version, sha256, wanted, folder)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    path.unlink()
    (folder / "ziglang/zig").chmod(0o755)


def npm(name: str, version: str, sha256: str) -> bytes:
    """A package from the registry that npm is set to (NPM_CONFIG_REGISTRY), else npm's own.

    Raises EdgepackError where it cannot be had or is not what its hash says.
    """
    permit()
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _NPM).rstrip("/")
    address = f"{registry}/{name}/-/{name}-{version}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=60) as source:
            data: bytes = source.read()
    except (OSError, HTTPException, ValueError) as cause:
        hint = "run it again where the npm registry can be reached, or set NPM_CONFIG_REGISTRY to a mirror"
        raise EdgepackError(f"{address} cannot be had: {cause}", hint=hint) from cause
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise EdgepackError(f"{address} is not the file that edgepack knows: its sha256 is {found}")
    return data


def pypi(name: str, version: str, sha256: str, wanted: tuple[str, ...], folder: Path) -> Path:
    """Download a wheel for the system that pip is told of by the options `wanted`.

    Raises EdgepackError where it cannot be had; pip itself refuses a file of another hash.
    """
    permit()
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    line = [sys.executable, *_PIP, "download", "--quiet", "--no-deps", "--require-hashes", *wanted]
    line += ["--dest", str(folder), "--requirement", str(pinned)]
    _run(line, f"downloading {name} {version}")
    (path,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return path


def _run(line: list[str], doing: str, patience: float | None = None) -> str:
    """Run a client; what it said on stderr. Raises EdgepackError with its own reason where it failed."""
    ended = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience)
    if ended.returncode:
        raise _failed(line, ended.stderr or ended.stdout, doing)
    return ended.stderr


def _failed(line: list[str], log: str, doing: str) -> EdgepackError:
    said = [each.strip() for each in log.splitlines() if each.strip()]
    telling = [each for each in said if each.lower().startswith(("e:", "error"))] or said or ["no word"]
    program = "pip" if "pip" in line else line[0]
    return EdgepackError(f"{doing}: {program} failed: {telling[-1]}", hint=_BY_HAND)
