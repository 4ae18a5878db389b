"""Compile the sources in `native/`: the runners for ARM, and the QEMU plugin that counts instructions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from edgepack import resources
from edgepack.emulator.arm.pins import ZIG, Runtime
from edgepack.errors import EdgepackError

NATIVE = Path(__file__).parent / "native"
ANDROID = NATIVE / "android"
APP = resources.templates() / "linux-cpp" / "src"
"""Sources of the C++ app template: the runner uses its header of ONNX Runtime."""
_RUNNER = "runner_executorch.cpp"
CROSS = "aarch64-linux-gnu-g++"
_UNPACKED = "usr/bin/aarch64-linux-gnu-g++-12"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_NEWEST = (2, 38)
"""Newest glibc version that Zig compiles for. A program for an older glibc runs with a newer one."""
_VERSION = re.compile(rb"GNU C Library .*release version (\d+)\.(\d+)")
_STATIC = ("-l:libstdc++.a", "-Wl,--exclude-libs,ALL")
_FLAGS = ["-std=c++17", "-O2", "-w"]
_EXECUTORCH_LIBRARIES = ("", "_kernels_optimized", "_kernels_quantized", "_backend_xnnpack", "_threadpool")
_GENERATED = "C10_USING_CUSTOM_GENERATED_MACROS"
_EXECUTORCH_DEFINES = (_GENERATED, "ET_EVENT_TRACER_ENABLED", "ET_USE_THREADPOOL")
"""As in the executorch-config.cmake of the wheel, which needs a newer CMake than distributions have."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler."""

    line: tuple[str, ...]
    """Command and first arguments."""
    about: str
    """Name and origin, for the user."""
    environment: dict[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    """Arguments that link the compiler's C++ library statically and hide its symbols, for programs that also
    link a library with another C++ library inside; empty if the compiler links its own first."""


def cross() -> Compiler | None:
    """The cross compiler on the PATH, or None."""
    found = shutil.which(CROSS)
    return Compiler((found,), f"{CROSS} of this host", own=_STATIC) if found else None


def unpacked(root: Path) -> Compiler:
    """The cross compiler in a folder of unpacked Debian packages."""
    line = (str(root / _UNPACKED), f"--sysroot={root}")
    about = "g++-12-aarch64-linux-gnu of Debian, unpacked and not kept"
    return Compiler(line, about, {"LD_LIBRARY_PATH": str(root / _LIBRARIES)}, _STATIC)


def host() -> Compiler | None:
    """The C++ compiler of this host, or None."""
    found = shutil.which("c++") or shutil.which("g++")
    return Compiler((found,), f"{found} of this host") if found else None


def headers() -> tuple[str, ...]:
    """The folders of the host's C++ library headers. Raises EdgepackError where it has no C++ compiler."""
    compiler = host()
    if compiler is None:
        hint = f"install the system package of g++, or the one with {CROSS}"
        raise EdgepackError("this host has no C++ compiler (c++), whose headers the runners need", hint=hint)
    line = [*compiler.line, "-E", "-x", "c++", "-v", os.devnull]
    process = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    searched = (line.strip() for line in process.stderr.splitlines())
    return tuple(path for path in searched if path.startswith("/") and "c++" in path and Path(path).is_dir())


def zig(folder: Path, libraries: Path, include: tuple[str, ...]) -> Compiler:
    """Zig, unpacked in `folder`, for the ARM system in `libraries` and with the C++ headers in `include`.

    The C++ library of Zig is not used: ExecuTorch needs that of GNU, whose headers hardly depend on the
    processor.
    """
    line = [str(folder / "ziglang/zig"), "c++", "-target", f"aarch64-linux-gnu.{_c_library(libraries)}"]
    line += ["-nostdinc++", "-nostdlib++", *(f"-I{path}" for path in include)]
    line += [str(libraries / name) for name in ("libstdc++.so.6", "libgcc_s.so.1")]
    caches = {f"ZIG_{kind}_CACHE_DIR": str(folder / "cache") for kind in ("GLOBAL", "LOCAL")}
    return Compiler(tuple(line), f"zig {ZIG[0]} of PyPI, not kept", caches)


def _c_library(libraries: Path) -> str:
    """The glibc version to compile for: that of the ARM system, at most `_NEWEST`."""
    version = _VERSION.search((libraries / "libc.so.6").read_bytes())
    if version is None:
        raise EdgepackError(f"{libraries}/libc.so.6 contains no version")
    major, minor = min((int(version[1]), int(version[2])), _NEWEST)
    return f"{major}.{minor}"


def runner(runtime: Runtime, compiler: Compiler, library: Path, out: Path) -> None:
    """Compile the runner of a runtime. `library` is the folder of the unpacked wheel.

    Raises EdgepackError with the first error of the compiler.
    """
    if runtime == "onnxruntime":
        rest = [f"-I{APP}", str(NATIVE / "runner_onnx.cpp"), "-ldl"]
    else:
        include = library / "include"
        rest = [f"-D{name}" for name in _EXECUTORCH_DEFINES]
        rest += [f"-I{include}", f"-I{include}/executorch/runtime/core/portable_type/c10"]
        rest += [str(NATIVE / _RUNNER), f"-L{library / 'lib'}", "-Wl,--no-as-needed"]
        rest += [f"-lexecutorch{name}" for name in _EXECUTORCH_LIBRARIES]
        rest += ["-ldl"]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def shim(compiler: Compiler, out: Path) -> None:
    """Compile the shim between Android's libraries and glibc, under the name of Android's libc.

    Raises EdgepackError with the first error of the compiler.
    """
    rest = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libc.so", "-Wl,-z,defs", "-Wl,-z,now"]
    rest += [f"-Wl,--version-script={ANDROID / 'bionic.map'}"]
    rest += [str(ANDROID / name) for name in ("bionic.cpp", "forward.s", "jni.s")]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def android_runner(compiler: Compiler, headers: Path, library: Path, out: Path) -> None:
    """Compile the runner of ExecuTorch for Android's `library`, whose imports the shim provides.

    The library exports parts of the C++ library that it contains; the runner links its own.
    Raises EdgepackError with the first error of the compiler.
    """
    rest = [f"-D{_GENERATED}", f"-I{headers}", str(NATIVE / _RUNNER), str(ANDROID / "optional.cpp")]
    rest += [*compiler.own, str(library), "-Wl,--allow-shlib-undefined", "-ldl"]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def android_sources() -> list[Path]:
    """The sources of the shim and of the runner for Android."""
    shared = [NATIVE / name for name in (_RUNNER, "delegates.h", "samples.h")]
    return [*sorted(ANDROID.iterdir()), *shared]


def counter(out: Path) -> str:
    """Compile the QEMU plugin that counts instructions. Returns why that failed; empty if it did not."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return "this host has no C compiler (cc) for the instruction counter"
    try:
        line = [compiler, "-shared", "-fPIC", "-O2", "-o", str(out), str(NATIVE / "count.c")]
        _compile(line, Compiler((), ""))
    except EdgepackError as cause:
        return str(cause)
    return ""


def _compile(line: list[str], compiler: Compiler) -> None:
    environment = {**os.environ, **compiler.environment}
    process = subprocess.run(line, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if process.returncode:
        errors = [line for line in process.stderr.splitlines() if "error" in line] or ["no error message"]
        raise EdgepackError(f"compiling with {line[0]} failed: {errors[0]}")
