"""The cache of the emulator: entries are created once and atomically.

The name of an entry is the hash of its inputs, so a changed pin or source creates a new entry.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import platformdirs

from edgepack.emulator.arm import build, fetch, machine, pins
from edgepack.emulator.arm.entry import DONE, Entry, Made
from edgepack.emulator.arm.fetch import Tell
from edgepack.errors import EdgepackError

_DRAFT = ".draft-"
_LAYOUT = 1
_KEPT = ("onnxruntime/capi/libonnxruntime.so", "executorch/lib/lib", "executorch/include/")
"""Files that are kept from the wheel of a runtime; the headers only until its runner is compiled."""
_LOADERS = ("usr/aarch64-linux-gnu/lib", "usr/aarch64-linux-gnu/lib64")


def root() -> Path:
    """The folder of all entries: in EDGEPACK_CACHE, or else in the user's cache folder."""
    return Path(os.environ.get("EDGEPACK_CACHE") or platformdirs.user_cache_dir("edgepack")) / "emulator"


def entry() -> Entry | None:
    """The entry for the installed runtimes, or None if it is not set up."""
    folder = complete(_name())
    return Entry(folder) if folder else None


def setup(tell: Tell) -> Entry:
    """The entry, made if it is not there: fetched, compiled, tried, then moved into its place.

    Raises EdgepackError where the folder cannot be written or something cannot be had.
    """
    return Entry(create(_name(), lambda draft: _fill(Entry(draft), tell), tell))


def create(name: str, fill: Callable[[Path], None], tell: Tell) -> Path:
    """The folder `name` of the cache. If it does not exist, `fill` writes a draft, which is then renamed.

    `fill` must write `made.json` last. Raises EdgepackError if the cache cannot be written.
    """
    try:
        root().mkdir(parents=True, exist_ok=True)
        with _alone(tell):
            return complete(name) or _create(name, fill)
    except OSError as cause:
        hint = "set EDGEPACK_CACHE to a writable folder with 500 MB of free space"
        raise EdgepackError(f"the emulator's folder cannot be written: {cause}", hint=hint) from cause


def complete(name: str) -> Path | None:
    """The folder `name` of the cache, or None if it does not exist or is incomplete."""
    folder = root() / name
    return folder if (folder / DONE).is_file() else None


def clean() -> list[Path]:
    """Remove all entries and drafts. Returns the removed folders."""
    if not root().is_dir():
        return []
    with _alone(lambda _: None):
        folders = [path for path in root().iterdir() if path.is_dir()]
        for folder in folders:
            shutil.rmtree(folder)
    return folders


def _name() -> str:
    parts = [str(_LAYOUT), repr((pins.QEMU, pins.SYSROOT, pins.COMPILER, pins.ZIG))]
    parts += [f"{name} {version} {pins.WHEELS[name][version]}" for name, version in pins.versions().items()]
    parts += [source.read_text(encoding="utf-8") for source in _native_sources()]
    return f"arm-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _native_sources() -> list[Path]:
    """The sources of the runners and of the instruction counter."""
    files = sorted(path for path in build.NATIVE.iterdir() if path.is_file())
    return [*files, build.APP / "ort.h"]


@contextmanager
def _alone(tell: Tell) -> Iterator[None]:
    """Lock the cache. The operating system releases the lock of a process that dies."""
    with (root() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another edgepack is setting the emulator up: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(name: str, fill: Callable[[Path], None]) -> Path:
    for abandoned in root().glob(f"{_DRAFT}*"):  # of a setup that was killed: we hold the lock
        shutil.rmtree(abandoned)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=root()))
    try:
        fill(draft)
        folder = root() / name
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def _fill(draft: Entry, tell: Tell) -> None:
    start = time.perf_counter()
    notes: list[str] = []

    def keep(note: str) -> None:
        notes.append(note)
        tell(note)

    fetch.check_index(tell)
    _system(draft, tell, keep)
    for runtime, version in pins.versions().items():
        tell(f"fetching {runtime} {version} for aarch64")
        _runtime(draft, runtime, version)
    compiler = _runners(draft, tell, keep)
    no_counts = build.counter(draft.counter) or _try_counter(draft)
    made = Made(
        qemu=_qemu_version(draft),
        versions=pins.versions(),
        compiler=compiler,
        no_counts=no_counts,
        seconds=time.perf_counter() - start,
        bytes=sum(path.stat().st_size for path in draft.folder.rglob("*") if path.is_file()),
        notes=tuple(notes),
    )
    (draft.folder / DONE).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _system(draft: Entry, tell: Tell, keep: Tell) -> None:
    """Add QEMU and the C and C++ libraries for ARM: those of Debian, or else of this host."""
    if problem := fetch.cannot_unpack():
        _link_host(draft, problem)
        keep(f"{problem}: using qemu-aarch64 and the aarch64 libraries of this host")
        return
    tell("fetching QEMU and the libraries of an aarch64 system (16 MB)")
    unpacked = draft.folder / "whole"
    fetch.debian((*pins.QEMU, *pins.SYSROOT), unpacked, keep)
    (unpacked / "usr/aarch64-linux-gnu/lib").rename(draft.libraries)
    for path in (draft.qemu, draft.qemu_libraries):
        path.parent.mkdir(parents=True, exist_ok=True)
        (unpacked / path.relative_to(draft.folder / "qemu")).rename(path)
    shutil.rmtree(unpacked)


def _link_host(draft: Entry, problem: str) -> None:
    """Link to QEMU and the libraries of this host. Raises EdgepackError if it has none."""
    qemu = shutil.which("qemu-aarch64")
    libraries = [Path("/", path) for path in _LOADERS if Path("/", path, machine.LOADER).exists()]
    if not qemu or not libraries:
        absent = "qemu-aarch64 on the PATH" if not qemu else f"aarch64 libraries in /{_LOADERS[0]}"
        raise EdgepackError(
            f"{problem}, and there is no {absent}",
            hint="install the system packages of QEMU user emulation and of the aarch64 cross compiler",
        )
    draft.qemu.parent.mkdir(parents=True)
    draft.qemu_libraries.mkdir(parents=True)
    draft.qemu.symlink_to(qemu)
    draft.libraries.symlink_to(libraries[0])


def _runtime(draft: Entry, runtime: pins.Runtime, version: str) -> None:
    folder = draft.folder / f"{runtime}-wheel"
    with zipfile.ZipFile(fetch.wheel(runtime, version, folder)) as archive:
        for name in archive.namelist():
            if name.startswith(_KEPT):
                archive.extract(name, draft.folder)
    shutil.rmtree(folder)


def _runners(draft: Entry, tell: Tell, keep: Tell) -> str:
    """Compile the runners. Returns the name of the compiler."""
    cross = draft.folder / "cross"
    compiler = cross_compiler(draft, cross, tell, keep)
    for runtime in pins.WHEELS:
        tell(f"compiling the runner of {runtime}")
        build.runner(runtime, compiler, draft.folder / runtime, draft.runner(runtime))
    shutil.rmtree(cross, ignore_errors=True)
    shutil.rmtree(draft.folder / "executorch" / "include")
    return compiler.about


def cross_compiler(entry: Entry, folder: Path, tell: Tell, keep: Tell) -> build.Compiler:
    """The cross compiler on the PATH; or else that of Debian, or Zig, downloaded into `folder`.

    Raises EdgepackError if none is available.
    """
    if compiler := build.cross():
        return compiler
    if problem := fetch.cannot_unpack():
        headers = build.headers()
        tell(f"{problem}: fetching Zig as a temporary compiler (101 MB)")
        fetch.zig(folder)
        return build.zig(folder, entry.libraries, headers)
    tell("fetching a temporary cross compiler (48 MB)")
    fetch.debian((*pins.COMPILER, *pins.SYSROOT), folder, keep)
    return build.unpacked(folder)


def _try_counter(draft: Entry) -> str:
    """Run the ARM loader with the counter plugin. Returns why QEMU rejects it; empty if it does not."""
    line = machine.line(draft, machine.MODELS["cortex-a53"].name, draft.folder, counts="tried.txt")
    process = _run(draft, [*line, str(draft.libraries / machine.LOADER), "--version"])
    (draft.folder / "tried.txt").unlink(missing_ok=True)
    if process.returncode == 0:
        return ""
    return f"QEMU rejects the counter: {(process.stderr.strip().splitlines() or ['no error message'])[-1]}"


def _qemu_version(draft: Entry) -> str:
    process = _run(draft, [str(draft.qemu), "--version"])
    if process.returncode:
        raise EdgepackError(f"QEMU does not start: {process.stderr.strip()}")
    return process.stdout.splitlines()[0]


def _run(draft: Entry, line: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        cwd=draft.folder,
        env=machine.environment(draft),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
