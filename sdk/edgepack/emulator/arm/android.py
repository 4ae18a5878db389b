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
from edgepack.emulator.arm.device import Build
from edgepack.emulator.arm.fetch import Tell
from edgepack.errors import EdgepackError

SHOWS = (
    "Android's own library runs over glibc here: that shows its kernels and operators, "
    "and nothing of Android's loader, libc, JNI, NNAPI or GPU"
)
_SHIM = "libc.so"
_SYSTEM = ("libm.so", "libdl.so", "liblog.so", "libandroid.so")
"""What the library asks for besides libc; the shim is all of them."""


@dataclass(frozen=True)
class Package:
    """A package of npm that holds Android's build of a runtime."""

    name: str
    version: str
    sha256: str
    archive: str
    """The .aar, a zip, in it."""
    library: str
    """In the .aar."""
    runtime: str
    """The runtime's version, as upstream numbers it."""


ONNX_RUNTIME = Package(
    "com.github.asus4.onnxruntime",
    "0.4.9",
    "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d",
    "package/Plugins/Android/onnxruntime.aar",
    "jni/arm64-v8a/libonnxruntime.so",
    "1.29.0",
)
"""The newest package found of Maven's onnxruntime-android, which is not on npm itself."""


@dataclass(frozen=True)
class Made:
    """What the kept libraries are."""

    runtime: str
    compiler: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Libraries:
    """Android's libraries, and the shim, on disk."""

    folder: Path

    @property
    def made(self) -> Made:
        return Made(**json.loads((self.folder / cache.DONE).read_text(encoding="utf-8")))

    def onnxruntime(self, entry: cache.Entry) -> Build:
        """How files are run by it, with the runner of the emulator that is set up."""
        path = self.folder / Path(ONNX_RUNTIME.library).name
        name = f"onnxruntime {self.made.runtime} for Android"
        return Build(name, entry.runner("onnxruntime"), (str(path),), self.folder, _SHIM)


def unsuited(format_name: str) -> str:
    """Why files of a format are not run by Android's libraries, set up or not; empty if they are."""
    if format_name == "onnx":
        return ""
    return f"Android's own library of {format_name} is not among those that run here: only ONNX Runtime's is"


def libraries() -> Libraries | None:
    """Those that are set up, or None."""
    found = cache.whole(_name())
    return Libraries(found) if found else None


def setup(tell: Tell) -> Libraries:
    """Set them up, if they are not, beside the emulator. Raises EdgepackError with what is amiss."""
    return Libraries(cache.made(_name(), lambda draft: _fill(draft, tell), tell))


def _name() -> str:
    parts = [repr((ONNX_RUNTIME, pins.SYSROOT, pins.COMPILER, pins.ZIG))]
    parts += [each.read_text(encoding="utf-8") for each in sorted(build.ANDROID.iterdir())]
    return f"android-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _fill(draft: Path, tell: Tell) -> None:
    begun = time.perf_counter()
    tell(f"fetching onnxruntime {ONNX_RUNTIME.runtime} for Android (150 MB, of which 32 are kept)")
    data = fetch.npm(ONNX_RUNTIME.name, ONNX_RUNTIME.version, ONNX_RUNTIME.sha256)
    (draft / Path(ONNX_RUNTIME.library).name).write_bytes(_library(ONNX_RUNTIME, data))
    entry = cache.entry()
    if entry is None:
        raise EdgepackError("the ARM emulator is not set up", hint="edgepack emulator setup")
    compiler = cache.cross_compiler(entry, draft / "cross", tell, tell)
    tell("compiling the shim for Android's libraries")
    build.shim(compiler, draft / _SHIM)
    shutil.rmtree(draft / "cross", ignore_errors=True)
    for name in _SYSTEM:
        (draft / name).symlink_to(_SHIM)
    size = sum(each.stat().st_size for each in draft.iterdir() if not each.is_symlink())
    made = Made(ONNX_RUNTIME.runtime, compiler.about, time.perf_counter() - begun, size)
    (draft / cache.DONE).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _library(package: Package, data: bytes) -> bytes:
    """The library alone, out of a package."""
    with tarfile.open(fileobj=io.BytesIO(data)) as whole:
        archive = whole.extractfile(package.archive)
        assert archive is not None, package.archive
        with zipfile.ZipFile(archive) as unpacked:
            return unpacked.read(package.library)
