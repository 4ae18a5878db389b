"""Android builds of the runtimes (bionic, arm64-v8a), in the cache with a shim that runs them over glibc.

The shim (`native/android/`) replaces Android's libc. Apps on phones use the same libraries, with the same
kernels and operators. The rest of Android is not emulated.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from edgepack.emulator.arm import build, cache, fetch, pins
from edgepack.emulator.arm.entry import DONE, Entry
from edgepack.emulator.arm.fetch import Tell
from edgepack.emulator.arm.inference import Build
from edgepack.errors import EdgepackError

SHOWS = (
    "Android's libraries run over glibc here: this tests their kernels and operators, "
    "not Android's loader, libc, JNI, NNAPI or GPU"
)
_SHIM = "libc.so"
_SYSTEM = ("libm.so", "libdl.so", "liblog.so", "libandroid.so", "libfbjni.so")
"""Libraries that the runtimes link to besides libc: links to the shim."""
_RUNNER = "runner-executorch"


@dataclass(frozen=True)
class Package:
    """An npm package that contains the Android build of a runtime."""

    runtime: pins.Runtime
    name: str
    version: str
    sha256: str
    archive: str
    """Path of the `.aar` (a zip) in the package; empty if the library is not in one."""
    library: str
    """Path of the library in the `.aar` or the package."""
    kept: str
    """File name of the library in the cache."""
    about: str
    """The runtime and its version, as far as the package states it."""
    megabytes: tuple[int, int]
    """Size of the package, and of the files kept from it."""
    headers: str = ""
    """Folder of the headers that the runner is compiled with; empty if it needs none."""


PACKAGES: dict[str, Package] = {
    "onnx": Package(
        runtime="onnxruntime",
        name="com.github.asus4.onnxruntime",
        version="0.4.9",
        sha256="e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d",
        archive="package/Plugins/Android/onnxruntime.aar",
        library="jni/arm64-v8a/libonnxruntime.so",
        kept="libonnxruntime.so",
        about="onnxruntime 1.29.0 for Android",
        megabytes=(150, 32),
    ),
    "executorch": Package(
        runtime="executorch",
        name="react-native-executorch",
        version="0.8.5",
        sha256="4a1f84df51d75000dd5c28ad11fedd5ec0487f8b8189e8adcb001b9ca485c4b8",
        archive="",
        library="package/third-party/android/libs/executorch/arm64-v8a/libexecutorch.so",
        kept="libexecutorch_jni.so",
        about="executorch of react-native-executorch 0.8.5 for Android",
        megabytes=(32, 13),
        headers="package/third-party/include/",
    ),
}
"""By format, npm packages that contain the libraries of onnxruntime-android and executorch-android on Maven.
Later versions of the second contain no library."""


@dataclass(frozen=True)
class Made:
    """Metadata of the libraries."""

    runtimes: tuple[str, ...]
    compiler: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Libraries:
    """Android's libraries, the shim and a runner in the cache."""

    folder: Path

    @property
    def made(self) -> Made:
        plain = json.loads((self.folder / DONE).read_text(encoding="utf-8"))
        return Made(**{**plain, "runtimes": tuple(plain["runtimes"])})

    def build(self, format_name: str, entry: Entry) -> Build:
        """The runtime build for a format. ONNX Runtime uses the runner of the emulator."""
        package = PACKAGES[format_name]
        if package.runtime == "executorch":
            return Build(package.about, self.folder / _RUNNER, (), self.folder, _SHIM)
        given = (str(self.folder / package.kept),)
        return Build(package.about, entry.runner(package.runtime), given, self.folder, _SHIM)


def unsuited(format_name: str) -> str:
    """Why Android's libraries cannot run files of a format, even after setup; empty if they can."""
    if format_name in PACKAGES:
        return ""
    return f"no Android library for {format_name} is available here, only for {', '.join(PACKAGES)}"


def libraries() -> Libraries | None:
    """The libraries that are set up, or None."""
    folder = cache.complete(_name())
    return Libraries(folder) if folder else None


def setup(tell: Tell) -> Libraries:
    """Set the libraries up next to the emulator. Raises EdgepackError with the step that failed."""
    return Libraries(cache.create(_name(), lambda draft: _fill(draft, tell), tell))


def _name() -> str:
    parts = [repr((PACKAGES, pins.SYSROOT, pins.COMPILER, pins.ZIG))]
    parts += [source.read_text(encoding="utf-8") for source in build.android_sources()]
    return f"android-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _fill(draft: Path, tell: Tell) -> None:
    start = time.perf_counter()
    for package in PACKAGES.values():
        size, kept = package.megabytes
        tell(f"fetching {package.about} ({size} MB, of which {kept} MB are kept)")
        _unpack(package, fetch.npm(package.name, package.version, package.sha256), draft)
    entry = cache.entry()
    if entry is None:
        raise EdgepackError("the ARM emulator is not set up", hint="edgepack emulator setup")
    compiler = _compile(draft, entry, tell)
    for name in _SYSTEM:
        (draft / name).symlink_to(_SHIM)
    size = sum(file.stat().st_size for file in draft.iterdir() if not file.is_symlink())
    about = tuple(package.about for package in PACKAGES.values())
    made = Made(about, compiler, time.perf_counter() - start, size)
    (draft / DONE).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _compile(draft: Path, entry: Entry, tell: Tell) -> str:
    """Compile the shim and the runner of ExecuTorch. Returns the name of the compiler."""
    compiler = cache.cross_compiler(entry, draft / "cross", tell, tell)
    tell("compiling the shim for Android's libraries")
    build.shim(compiler, draft / _SHIM)
    package = PACKAGES["executorch"]
    tell(f"compiling the runner of {package.about}")
    build.android_runner(compiler, draft / package.headers, draft / package.kept, draft / _RUNNER)
    for folder in ("cross", Path(package.headers).parts[0]):
        shutil.rmtree(draft / folder, ignore_errors=True)
    return compiler.about


def _unpack(package: Package, data: bytes, folder: Path) -> None:
    """Unpack the library of a package, and the headers of its runner."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        library = _member(archive, package.archive or package.library)
        if package.archive:
            with zipfile.ZipFile(io.BytesIO(library)) as aar:
                library = aar.read(package.library)
        (folder / package.kept).write_bytes(library)
        if package.headers:
            files = (member for member in archive if member.isfile())
            headers = [member for member in files if member.name.startswith(package.headers)]
            archive.extractall(folder, headers, filter="data")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()
