"""Download packages with pip, apt-get and npm, and check their sha256."""

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
"""Environment variable that forbids downloads, if it is set to anything but 0."""
PATIENCE = 20.0
"""Seconds within which the package index must respond. pip and apt-get would retry for minutes on a network
that drops packets."""
_RETRY = "run it again on a network with access to the package registries"
_NPM = "https://registry.npmjs.org"
_APT = ("Acquire::Retries=1", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20")
_PIP = ("-m", "pip", "--no-input", "--no-cache-dir", "--disable-pip-version-check")
_ARM = ("--platform=manylinux_2_28_aarch64", "--platform=manylinux_2_27_aarch64", "--python-version=3.11")
_WHEELS = (*_ARM, "--implementation=cp", "--abi=cp311", "--only-binary=:all:")


def cannot_unpack() -> str:
    """Why Debian packages cannot be unpacked on this host; empty if they can."""
    absent = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    return f"this system has no {' and no '.join(absent)}" if absent else ""


def check_index(tell: Tell) -> None:
    """Raise EdgepackError if downloads are forbidden or the package index of pip does not respond in time."""
    check_permitted()
    tell("reaching the package index")
    line = [sys.executable, *_PIP, "--retries=0", "index", "versions", *_WHEELS, "onnxruntime"]
    doing = "reaching pip's package index"
    try:
        _run(line, doing, PATIENCE)
    except subprocess.TimeoutExpired:
        raise EdgepackError(f"{doing}: no response within {PATIENCE:g} s", hint=_RETRY) from None


def is_offline() -> bool:
    """Whether downloads are forbidden."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def check_permitted() -> None:
    """Raise EdgepackError if downloads are forbidden."""
    if is_offline():
        raise EdgepackError(f"{OFFLINE} is set, so nothing is fetched", hint="unset it to permit downloads")


def debian(packages: tuple[Debian, ...], folder: Path, tell: Tell, release: str = "") -> None:
    """Download packages from the system's archive and unpack them into `folder`, without installing them.

    `release` is a release of Debian in the same archive, by default that of the system. If the archive no
    longer has a pinned version, its newest is used, and `tell` is called with it.
    Raises EdgepackError if a package cannot be downloaded or its hash differs.
    """
    check_permitted()
    debs = folder.with_name(f"{folder.name}-debs")
    debs.mkdir()
    apt = _Apt(debs, release)
    for package in packages:
        path, pinned = apt.download(package)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if not pinned:
            name = path.name.replace("%3a", ":")
            tell(f"the archive has no {package.name} {package.version}; using {name}, sha256 {sha256}")
        elif sha256 != package.sha256:
            raise EdgepackError(f"{path.name} is not the pinned file: its sha256 is {sha256}")
        _run(["dpkg-deb", "--extract", str(path), str(folder)], "unpacking a Debian package")
    shutil.rmtree(debs)


class _Apt:
    """apt-get with the package lists of the system, or with lists of its own: for packages that the system's
    lists do not contain, and for another release than the system's."""

    def __init__(self, folder: Path, release: str) -> None:
        self._folder = folder
        self._release = release
        self._options: list[str] = []
        """Options that select our own lists; empty while those of the system are used."""
        self._log = ""
        self._warnings = ""
        """Warnings about lists that cannot be downloaded; apt-get itself does not fail then."""

    def download(self, package: Debian) -> tuple[Path, bool]:
        """The downloaded file, and whether it has the pinned version."""
        for name in (f"{package.name}={package.version}", package.name):
            if self._get(name):
                (path,) = self._folder.glob(f"{package.name}_*.deb")
                return path, name != package.name
        raise _failed(
            ["apt-get"], self._warnings or self._log, f"downloading the Debian package {package.name}"
        )

    def _get(self, name: str) -> bool:
        if (self._options or not self._release) and self._try(name):
            return True
        if not self._options:
            self._update()
            return self._try(name)
        return False

    def _try(self, name: str) -> bool:
        process = subprocess.run(
            self._line("download", name), cwd=self._folder, capture_output=True, text=True
        )
        self._log = process.stderr
        return process.returncode == 0

    def _line(self, *words: str) -> list[str]:
        fixed = [word for option in ("APT::Sandbox::User=root", *_APT) for word in ("-o", option)]
        return ["apt-get", *self._options, *fixed, *words]

    def _update(self) -> None:
        """Download the lists of the archive into a folder of our own: the system's may be old or absent."""
        own = self._folder / "apt"
        for name in ("state", "lists/partial", "cache/archives/partial"):
            (own / name).mkdir(parents=True)
        settings = {
            "Dir::State": own / "state",
            "Dir::State::lists": own / "lists",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": own / "cache",
            "Debug::NoLocking": "1",
        }
        if self._release:
            sources = own / "sources.list"
            sources.write_text(f"deb {_archive()} {self._release} main\n", encoding="utf-8")
            settings |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"}
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        log = _run(self._line("update"), "reading the package lists")
        self._warnings = "\n".join(line for line in log.splitlines() if line.startswith("W: Failed to fetch"))


def _archive() -> str:
    """The URL of the Debian archive that the system uses. Raises EdgepackError if it uses none."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(COMPONENT)"]
    targets = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in targets.splitlines():
        origin, _, rest = line.partition(" ")
        address, _, component = rest.partition(" ")
        if (origin, component) == ("Debian", "main") and "security" not in address:
            return address
    raise EdgepackError("this system has no Debian package archive")


def wheel(runtime: Runtime, version: str, folder: Path) -> Path:
    """Download the aarch64 wheel of a runtime from the package index that pip is configured for.

    Raises EdgepackError if it cannot be downloaded. pip checks the hash.
    """
    return pypi(runtime, version, WHEELS[runtime][version], _WHEELS, folder)


def zig(folder: Path) -> None:
    """Download Zig, a cross compiler for all systems, and unpack it into `folder`.

    Raises EdgepackError if it cannot be downloaded.
    """
    version, sha256 = ZIG
    options = ("--platform=manylinux_2_12_x86_64", "--only-binary=:all:")
    path = pypi("ziglang", version, sha256, options, folder)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    path.unlink()
    (folder / "ziglang/zig").chmod(0o755)


def npm(name: str, version: str, sha256: str) -> bytes:
    """Download a package from the registry in NPM_CONFIG_REGISTRY, or else from registry.npmjs.org.

    Raises EdgepackError if it cannot be downloaded or its hash differs.
    """
    check_permitted()
    registry = os.environ.get("NPM_CONFIG_REGISTRY", _NPM).rstrip("/")
    url = f"{registry}/{name}/-/{name}-{version}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            data: bytes = response.read()
    except (OSError, HTTPException, ValueError) as cause:
        hint = "run it again on a network with access to npm, or set NPM_CONFIG_REGISTRY to a mirror"
        raise EdgepackError(f"{url} cannot be downloaded: {cause}", hint=hint) from cause
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise EdgepackError(f"{url} is not the pinned file: its sha256 is {actual}")
    return data


def pypi(name: str, version: str, sha256: str, options: tuple[str, ...], folder: Path) -> Path:
    """Download a wheel with `options` of `pip download`, which select the platform.

    Raises EdgepackError if it cannot be downloaded. pip checks the hash.
    """
    check_permitted()
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    line = [sys.executable, *_PIP, "download", "--quiet", "--no-deps", "--require-hashes", *options]
    line += ["--dest", str(folder), "--requirement", str(pinned)]
    _run(line, f"downloading {name} {version}")
    (path,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return path


def _run(line: list[str], doing: str, patience: float | None = None) -> str:
    """Run a command and return its stderr. Raises EdgepackError with its error message if it fails."""
    process = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience)
    if process.returncode:
        raise _failed(line, process.stderr or process.stdout, doing)
    return process.stderr


def _failed(line: list[str], log: str, doing: str) -> EdgepackError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("e:", "error"))]
    program = "pip" if "pip" in line else line[0]
    reason = (errors or lines or ["no error message"])[-1]
    return EdgepackError(f"{doing}: {program} failed: {reason}", hint=_RETRY)
