"""Build: the runners for ARM and for the host, and the emulator's counter, from `native/`."""

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
"""Of the C++ app, whose header of ONNX Runtime the runner shares."""
_RUNNER = "runner_executorch.cpp"
CROSS = "aarch64-linux-gnu-g++"
_UNPACKED = "usr/bin/aarch64-linux-gnu-g++-12"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_NEWEST = (2, 38)
"""Of C libraries that Zig is asked to compile for; what is made for an old one runs on all newer."""
_VERSION = re.compile(rb"GNU C Library .*release version (\d+)\.(\d+)")
_STATIC = ("-l:libstdc++.a", "-Wl,--exclude-libs,ALL")
_FLAGS = ["-std=c++17", "-O2", "-w"]
_EXECUTORCH_LIBRARIES = ("", "_kernels_optimized", "_kernels_quantized", "_backend_xnnpack", "_threadpool")
_GENERATED = "C10_USING_CUSTOM_GENERATED_MACROS"
_EXECUTORCH_DEFINES = (_GENERATED, "ET_EVENT_TRACER_ENABLED", "ET_USE_THREADPOOL")
"""As the wheel's executorch-config.cmake says, which needs a newer CMake than systems have."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: how it is called, and what it is."""

    line: tuple[str, ...]
    about: str
    environment: dict[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    """What links its own C++ library into a program, and keeps it there, named before a library that has
    another inside; empty where that comes first by itself."""


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
    here = host()
    if here is None:
        hint = f"install your system's package of g++, or that which brings {CROSS}"
        raise EdgepackError("this host has no C++ compiler (c++), whose headers the runners need", hint=hint)
    line = [*here.line, "-E", "-x", "c++", "-v", os.devnull]
    ended = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    searched = (each.strip() for each in ended.stderr.splitlines())
    return tuple(each for each in searched if each.startswith("/") and "c++" in each and Path(each).is_dir())


def zig(folder: Path, libraries: Path, found: tuple[str, ...]) -> Compiler:
    """Zig, unpacked in `folder`, for the ARM system of `libraries`, over the host's `headers`.

    Its own C++ library would not do: ExecuTorch's ask for GNU's, whose headers differ little by processor.
    """
    line = [str(folder / "ziglang/zig"), "c++", "-target", f"aarch64-linux-gnu.{_c_library(libraries)}"]
    line += ["-nostdinc++", "-nostdlib++", *(f"-I{each}" for each in found)]
    line += [str(libraries / each) for each in ("libstdc++.so.6", "libgcc_s.so.1")]
    places = {f"ZIG_{each}_CACHE_DIR": str(folder / "cache") for each in ("GLOBAL", "LOCAL")}
    return Compiler(tuple(line), f"zig {ZIG[0]} of PyPI, not kept", places)


def _c_library(libraries: Path) -> str:
    """The version of the ARM system's C library, or the newest that Zig surely knows."""
    told = _VERSION.search((libraries / "libc.so.6").read_bytes())
    if told is None:
        raise EdgepackError(f"{libraries}/libc.so.6 does not tell its version")
    major, minor = min((int(told[1]), int(told[2])), _NEWEST)
    return f"{major}.{minor}"


def runner(runtime: Runtime, compiler: Compiler, library: Path, out: Path) -> None:
    """Compile the runner of a runtime; `library` is the package's folder, unpacked from its wheel.

    Raises EdgepackError with the compiler's first error.
    """
    if runtime == "onnxruntime":
        rest = [f"-I{APP}", str(NATIVE / "runner_onnx.cpp"), "-ldl"]
    else:
        include = library / "include"
        rest = [f"-D{each}" for each in _EXECUTORCH_DEFINES]
        rest += [f"-I{include}", f"-I{include}/executorch/runtime/core/portable_type/c10"]
        rest += [str(NATIVE / _RUNNER), f"-L{library / 'lib'}", "-Wl,--no-as-needed"]
        rest += [f"-lexecutorch{each}" for each in _EXECUTORCH_LIBRARIES]
        rest += ["-ldl"]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def shim(compiler: Compiler, out: Path) -> None:
    """Compile the shim between Android's libraries and glibc; it bears the name of Android's libc.

    Raises EdgepackError with the compiler's first error.
    """
    rest = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libc.so", "-Wl,-z,defs", "-Wl,-z,now"]
    rest += [f"-Wl,--version-script={ANDROID / 'bionic.map'}"]
    rest += [str(ANDROID / name) for name in ("bionic.cpp", "forward.s", "jni.s")]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def android_runner(compiler: Compiler, headers: Path, library: Path, out: Path) -> None:
    """Compile the runner of ExecuTorch for Android's `library`; what that asks for is the shim's matter.

    The library has a C++ library inside, and exports some of it; the runner has its own.
    Raises EdgepackError with the compiler's first error.
    """
    rest = [f"-D{_GENERATED}", f"-I{headers}", str(NATIVE / _RUNNER), str(ANDROID / "optional.cpp")]
    rest += [*compiler.own, str(library), "-Wl,--allow-shlib-undefined", "-ldl"]
    _compile([*compiler.line, *_FLAGS, "-o", str(out), *rest], compiler)


def android_sources() -> list[Path]:
    """The sources of the shim and of that runner."""
    shared = [NATIVE / name for name in (_RUNNER, "delegates.h", "samples.h")]
    return [*sorted(ANDROID.iterdir()), *shared]


def counter(out: Path) -> str:
    """Compile the emulator's counter; why not, or empty."""
    found = shutil.which("cc") or shutil.which("gcc")
    if not found:
        return "this host has no C compiler (cc), which builds the counter"
    try:
        line = [found, "-shared", "-fPIC", "-O2", "-o", str(out), str(NATIVE / "count.c")]
        _compile(line, Compiler((), ""))
    except EdgepackError as cause:
        return str(cause)
    return ""


def _compile(line: list[str], compiler: Compiler) -> None:
    environment = {**os.environ, **compiler.environment}
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if ended.returncode:
        errors = [each for each in ended.stderr.splitlines() if "error" in each] or ["no word"]
        raise EdgepackError(f"compiling with {line[0]} failed: {errors[0]}")
