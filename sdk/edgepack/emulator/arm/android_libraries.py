"""Android's own build of a runtime (bionic, arm64-v8a), kept in the cache with the shim that runs it here.

A shim between it and glibc takes the place of Android's libc (`native/android/`): what runs is the
library that phones get, with its kernels and operators; Android itself is not there.
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
    "Android's own libraries run over glibc here: that shows their kernels and operators, "
    "and nothing of Android's loader, libc, JNI, NNAPI or GPU"
)
_SHIM = "libc.so"
_SYSTEM = ("libm.so", "libdl.so", "liblog.so", "libandroid.so", "libfbjni.so")
"""What the libraries ask for besides libc; the shim is all of them."""
_RUNNER = "runner-executorch"


@dataclass(frozen=True)
class Package:
    """A package of npm that holds Android's build of a runtime."""

    runtime: pins.Runtime
    name: str
    version: str
    sha256: str
    archive: str
    """The .aar, a zip, in it; empty where the library lies there itself."""
    library: str
    """In the .aar, or in the package."""
    kept: str
    """What the library is kept as."""
    about: str
    """The runtime with its version, as far as it is told."""
    megabytes: tuple[int, int]
    """Of the package, and of what is kept of it."""
    headers: str = ""
    """The folder of its headers, where a runner is compiled against them."""


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
"""By format, the newest found that hold what Maven, which is not on npm itself, has for apps:
onnxruntime-android and executorch-android. Later packages of the second hold no library."""


@dataclass(frozen=True)
class Made:
    """What the kept libraries are."""

    runtimes: tuple[str, ...]
    compiler: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Libraries:
    """Android's libraries, the shim, and a runner, on disk."""

    folder: Path

    @property
    def made(self) -> Made:
        plain = json.loads((self.folder / DONE).read_text(encoding="utf-8"))
        return Made(**{**plain, "runtimes": tuple(plain["runtimes"])})

    def build(self, format_name: str, entry: Entry) -> Build:
        """How files of a format are run by them, ONNX Runtime's with the runner of the emulator."""
        package = PACKAGES[format_name]
        if package.runtime == "executorch":
            return Build(package.about, self.folder / _RUNNER, (), self.folder, _SHIM)
        given = (str(self.folder / package.kept),)
        return Build(package.about, entry.runner(package.runtime), given, self.folder, _SHIM)


def unsuited(format_name: str) -> str:
    """Why files of a format are not run by Android's libraries, set up or not; empty if they are."""
    if format_name in PACKAGES:
        return ""
    return f"Android's own library of {format_name} is not among those that run here: {', '.join(PACKAGES)}"


def libraries() -> Libraries | None:
    """Those that are set up, or None."""
    found = cache.whole(_name())
    return Libraries(found) if found else None


def setup(tell: Tell) -> Libraries:
    """Set them up, if they are not, beside the emulator. Raises EdgepackError with what is amiss."""
    return Libraries(cache.made(_name(), lambda draft: _fill(draft, tell), tell))


def _name() -> str:
    parts = [repr((PACKAGES, pins.SYSROOT, pins.COMPILER, pins.ZIG))]
    parts += [each.read_text(encoding="utf-8") for each in build.android_sources()]
    return f"android-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _fill(draft: Path, tell: Tell) -> None:
    begun = time.perf_counter()
    for package in PACKAGES.values():
        down, kept = package.megabytes
        tell(f"fetching {package.about} ({down} MB, of which {kept} are kept)")
        _unpack(package, fetch.npm(package.name, package.version, package.sha256), draft)
    entry = cache.entry()
    if entry is None:
        raise EdgepackError("the ARM emulator is not set up", hint="edgepack emulator setup")
    compiler = _compile(draft, entry, tell)
    for name in _SYSTEM:
        (draft / name).symlink_to(_SHIM)
    size = sum(each.stat().st_size for each in draft.iterdir() if not each.is_symlink())
    about = tuple(package.about for package in PACKAGES.values())
    made = Made(about, compiler, time.perf_counter() - begun, size)
    (draft / DONE).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _compile(draft: Path, entry: Entry, tell: Tell) -> str:
    """Compile the shim and the runner of ExecuTorch; what with."""
    compiler = cache.cross_compiler(entry, draft / "cross", tell, tell)
    tell("compiling the shim for Android's libraries")
    build.shim(compiler, draft / _SHIM)
    package = PACKAGES["executorch"]
    tell(f"compiling the runner of {package.about}")
    build.android_runner(compiler, draft / package.headers, draft / package.kept, draft / _RUNNER)
    for done in ("cross", Path(package.headers).parts[0]):
        shutil.rmtree(draft / done, ignore_errors=True)
    return compiler.about


def _unpack(package: Package, data: bytes, folder: Path) -> None:
    """The library of a package, and the headers that its runner needs."""
    with tarfile.open(fileobj=io.BytesIO(data)) as whole:
        library = _member(whole, package.archive or package.library)
        if package.archive:
            with zipfile.ZipFile(io.BytesIO(library)) as unpacked:
                library = unpacked.read(package.library)
        (folder / package.kept).write_bytes(library)
        if package.headers:
            headers = [each for each in whole if each.isfile() and each.name.startswith(package.headers)]
            whole.extractall(folder, headers, filter="data")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()
