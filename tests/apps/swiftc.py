"""Swift's compiler and stubs of Apple's frameworks, fetched and made once and kept.

The compiler is Debian 13's, with the libraries that it needs of that release: it runs on any Debian, by its
own loader, and nothing is installed. Where that cannot be had, a `swiftc` on the PATH compiles, but nothing
is run. Foundation, Dispatch and XCTest are Swift's own for Linux. Apple's frameworks, ExecuTorch and ONNX
Runtime are stubs (`swift/stubs/`), written after the published API.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from edgepack.emulator.arm import cache, fetch
from edgepack.emulator.arm.entry import DONE
from edgepack.emulator.arm.pins import Debian
from edgepack.errors import EdgepackError

OWN = Path(__file__).resolve().parent / "swift"
STUBS = (
    "CoreGraphics", "CoreVideo", "ImageIO", "CoreML", "ExecuTorch", "OnnxRuntimeBindings", "AVFoundation",
    "UIKit", "SwiftUI", "PhotosUI",
)  # fmt: skip
"""Modules, each after those that it imports."""
SHIM = OWN / "Foundation+Linux.swift"
"""Compiled into each module: what Foundation has on Apple's systems alone."""
VERSION = "6.0.3"
_RELEASE = "trixie"
_SWIFT = "usr/libexec/swift/lib/swift"
_DEBIAN = (
    Debian("swiftlang", "6.0.3-2", "be005017c07f0932564c48761f7f69d2f4e942d514e106932913ca8cf594c4a1"),
    Debian("libswiftlang", "6.0.3-2", "8279334aaf16e6b62b8d124d6d5d94cb2a92666986cec491bf4ad03a0a9ae3e4"),
    Debian("libc6", "2.41-12+deb13u5", "b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf"),
    Debian("libstdc++6", "14.2.0-19", "ab1fa05837aa7a92aae748fd07a18a35f7d18bb4a71c4724fe2bbf0e32089de0"),
    Debian("libgcc-s1", "14.2.0-19", "3c71917b490d1a17aed43196a2787a256ecf060526cdb20216a74bedc061b150"),
    Debian("libtinfo6", "6.5+20250216-2", "8b9f6a7983e9418564e48a627518de4c03917b56efe68d7f3e93bd8fffa1cc10"),
    Debian(
        "libuuid1", "2.41.5-0+deb13u1", "c1bf4c4c3ff48c57fabf93307dfb56996b60cfa33927afc4158b5db36fb2721e"
    ),
    Debian("libzstd1", "1.5.7+dfsg-1", "2f6a2aeacfc925eba8b00ac9139bc4bfccf8cacb09eb93de067074b26948eef9"),
    Debian(
        "zlib1g",
        "1:1.3.dfsg+really1.3.1-1+deb13u1",
        "8c27c342230503b73dfde629642c3b352e87b554e06d60cf58772f236a305ceb",
    ),
)
_UNUSED = (
    "usr/share",
    "usr/libexec/swift/share",
    "usr/libexec/swift/libexec",
    "usr/libexec/swift/lib/clang/17/lib",
    "usr/libexec/swift/lib/swift_static",
    *(
        f"usr/libexec/swift/lib/swift/{each}"
        for each in ("embedded", "pm", "migrator", "FrameworkABIBaseline")
    ),
)
_UNUSED_FILES = (
    "usr/libexec/swift/bin/[!s]*",
    "usr/libexec/swift/bin/s[!w]*",
    "usr/libexec/swift/bin/swift-[!f]*",
    "usr/libexec/swift/bin/swift-format",
    "usr/libexec/swift/lib/*.so*",
    "usr/libexec/swift/lib/swift/host/lib_InternalSwiftScan.so",
)
_LIBRARIES = (
    "swiftCore", "swift_Concurrency", "swift_StringProcessing", "swift_RegexParser", "swiftGlibc",
    "swiftObservation", "swiftSwiftOnoneSupport", "swiftDispatch", "dispatch", "BlocksRuntime", "Foundation",
    "FoundationEssentials", "FoundationInternationalization", "XCTest", "m",
)  # fmt: skip
_LANGUAGE = ("-swift-version", "6", "-warnings-as-errors", "-parse-as-library", "-enable-testing", "-wmo")


@dataclass(frozen=True)
class Tools:
    """A compiler and the stubs, on disk."""

    compiler: Path | None
    """The folder of Debian's, with its libraries; None of one on the PATH."""
    stubs: Path

    @property
    def about(self) -> str:
        """The compiler, for people."""
        return f"Swift {VERSION}" if self.compiler else "swiftc of the PATH"

    def frontend(self) -> list[object]:
        """The beginning of its command line."""
        if self.compiler is None:
            return ["swiftc", "-frontend"]
        swift = self.compiler / _SWIFT
        line = [*_loader(self.compiler), self.compiler / "usr/libexec/swift/bin/swift-frontend"]
        return [*line, "-resource-dir", swift, "-plugin-path", swift / "host/plugins"]

    def compiled(self, module: str, sources: list[Path], out: Path, *against: Path) -> str:
        """Compile `sources` and the shim into `out`, as a module that others may import from there; what
        went wrong, or empty. Warnings are errors."""
        out.mkdir(parents=True, exist_ok=True)
        line = [*self.frontend(), "-c", *_LANGUAGE, "-module-name", module]
        line += ["-target", f"{platform.machine()}-pc-linux-gnu", "-module-cache-path", out / "modules"]
        for folder in (out, self.stubs, *against):
            line += ["-I", folder]
        line += ["-o", out / f"{module}.o", "-emit-module-path", out / f"{module}.swiftmodule"]
        ended = _run([*line, *sources, SHIM])
        said = [each for each in ended.stderr.splitlines() if "error:" in each and not each.startswith(" ")]
        return (said or ended.stderr.splitlines() or ["no word"])[0] if ended.returncode else ""

    def linked(self, objects: list[Path], program: Path) -> str:
        """Link objects and the stubs into a program; what went wrong, or empty."""
        assert self.compiler is not None
        linux = self.compiler / _SWIFT / "linux"
        line = ["cc", "-o", program, *objects, *sorted(self.stubs.glob("*.o"))]
        line += [linux / "x86_64" / "swiftrt.o", f"-L{linux}", *(f"-l{each}" for each in _LIBRARIES)]
        # the libraries are of a newer release than this system's linker looks them up in
        ended = _run([*line, "-Wl,--allow-shlib-undefined", "-Wl,-z,nostart-stop-gc"])
        return (ended.stderr.splitlines() or ["no word"])[-1] if ended.returncode else ""

    def run(
        self, program: Path, text: str = "", resources: Path | None = None, words: tuple[str, ...] = ()
    ) -> CompletedProcess[str]:
        """Run a linked program; `resources` is the folder that its package's resources lie in."""
        assert self.compiler is not None
        env = {**os.environ, "APP_RESOURCES": str(resources or "")}
        return _run([*_loader(self.compiler), program, *words], text, env)


def _loader(compiler: Path) -> list[object]:
    """The release's own loader with its own libraries, before a program that it is to run."""
    swift = compiler / _SWIFT
    places = (next(compiler.glob("usr/lib/*-linux-gnu")), swift / "linux", swift / "host")
    return [compiler / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", ":".join(map(str, places))]


def _run(words: list[object], text: str = "", env: dict[str, str] | None = None) -> CompletedProcess[str]:
    line = [str(word) for word in words]
    ended = subprocess.run(line, input=text.encode(), env=env, capture_output=True, check=False)
    return CompletedProcess(line, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def absent() -> str:
    """Why nothing can be compiled here; empty where it can."""
    if sys.platform == "darwin":
        return "Xcode compiles it on macOS: see the app's README.md"
    return "" if not _unfit() or shutil.which("swiftc") else f"swiftc is not installed, and {_unfit()}"


def _unfit() -> str:
    """Why the compiler that would be fetched does not serve here; empty where it does."""
    if platform.machine() != "x86_64":
        return "the compiler that is fetched is for x86-64"
    return fetch.cannot_unpack() or ("" if shutil.which("cc") else "cc is not installed")


def tools() -> Tools:
    """Fetched and made ready once, then kept. Raises EdgepackError where something cannot be had."""
    compiler: Path | None = None
    try:
        if reason := _unfit():
            raise EdgepackError(reason)
        compiler = (
            cache.create(f"swift-{_hashed(repr((_DEBIAN, _UNUSED, _UNUSED_FILES)))}", _fetch, _tell)
            / "debian"
        )
    except EdgepackError:
        if not shutil.which("swiftc"):
            raise
    texts = [path.read_text(encoding="utf-8") for path in (SHIM, *sorted((OWN / "stubs").iterdir()))]
    name = f"swift-stubs-{_hashed(repr((compiler, _LANGUAGE, STUBS, texts)))}"
    return Tools(compiler, cache.create(name, lambda draft: _compile_stubs(compiler, draft), _tell))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _fetch(draft: Path) -> None:
    _tell("fetching Swift's compiler (470 MB, of which 390 are kept)")
    root = draft / "debian"
    fetch.debian(_DEBIAN, root, _tell, _RELEASE)
    for each in _UNUSED:
        shutil.rmtree(root / each, ignore_errors=True)
    for pattern in _UNUSED_FILES:
        for path in root.glob(pattern):
            path.unlink()
    (draft / DONE).write_text(json.dumps({"swift": VERSION}), encoding="utf-8")


def _compile_stubs(compiler: Path | None, draft: Path) -> None:
    made = Tools(compiler, draft)
    for name in STUBS:
        if problem := made.compiled(name, [OWN / "stubs" / f"{name}.swift"], draft):
            raise EdgepackError(f"the stubs of {name} do not compile: {problem}")
    shutil.rmtree(draft / "modules")
    (draft / DONE).write_text(json.dumps({"stubs": STUBS}), encoding="utf-8")
