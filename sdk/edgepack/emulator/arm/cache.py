"""The emulator's cache: set up once, whole or not at all, in a folder that anyone may choose.

An entry is called by the hash of all that goes into it, so a changed pin or source makes a new one.
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
"""Of a runtime's wheel; the headers only until its runner is compiled."""
_LOADERS = ("usr/aarch64-linux-gnu/lib", "usr/aarch64-linux-gnu/lib64")


def root() -> Path:
    """The folder of all entries: in EDGEPACK_CACHE, else in the user's cache folder."""
    return Path(os.environ.get("EDGEPACK_CACHE") or platformdirs.user_cache_dir("edgepack")) / "emulator"


def entry() -> Entry | None:
    """The entry for what is installed here, or None where it is not set up."""
    found = whole(_name())
    return Entry(found) if found else None


def setup(tell: Tell) -> Entry:
    """The entry, made if it is not there: fetched, compiled, tried, then moved into its place.

    Raises EdgepackError where the folder cannot be written or something cannot be had.
    """
    return Entry(made(_name(), lambda draft: _fill(Entry(draft), tell), tell))


def made(name: str, fill: Callable[[Path], None], tell: Tell) -> Path:
    """The folder `name` of the cache; where it is not there, `fill` fills a draft that then becomes it.

    The draft's `made.json` is to be written last. Raises EdgepackError where the cache cannot be written.
    """
    try:
        root().mkdir(parents=True, exist_ok=True)
        with _alone(tell):
            return whole(name) or _make(name, fill)
    except OSError as cause:
        hint = "set EDGEPACK_CACHE to a folder with some 500 MB of space that you may write"
        raise EdgepackError(f"the emulator's folder cannot be written: {cause}", hint=hint) from cause


def whole(name: str) -> Path | None:
    """The folder `name` of the cache, or None where it is not there as a whole."""
    folder = root() / name
    return folder if (folder / DONE).is_file() else None


def clean() -> list[Path]:
    """Remove all entries, old ones and drafts too; the folders that were removed."""
    if not root().is_dir():
        return []
    with _alone(lambda _: None):
        found = [each for each in root().iterdir() if each.is_dir()]
        for each in found:
            shutil.rmtree(each)
    return found


def _name() -> str:
    parts = [str(_LAYOUT), repr((pins.QEMU, pins.SYSROOT, pins.COMPILER, pins.ZIG))]
    parts += [f"{name} {version} {pins.WHEELS[name][version]}" for name, version in pins.versions().items()]
    parts += [each.read_text(encoding="utf-8") for each in _native()]
    return f"arm-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _native() -> list[Path]:
    """The sources of the runners and the counter."""
    own = sorted(each for each in build.NATIVE.iterdir() if each.is_file())
    return [*own, build.APP / "ort.h"]


@contextmanager
def _alone(tell: Tell) -> Iterator[None]:
    """One process at a time; a process that dies leaves the lock free."""
    with (root() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another edgepack is setting the emulator up: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(name: str, fill: Callable[[Path], None]) -> Path:
    for left in root().glob(f"{_DRAFT}*"):  # by a set-up that was killed: we hold the lock
        shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=root()))
    try:
        fill(draft)
        goal = root() / name
        draft.chmod(0o755)
        draft.rename(goal)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return goal


def _fill(draft: Entry, tell: Tell) -> None:
    begun = time.perf_counter()
    notes: list[str] = []

    def told(note: str) -> None:
        notes.append(note)
        tell(note)

    fetch.reach(tell)
    _system(draft, tell, told)
    for runtime, version in pins.versions().items():
        tell(f"fetching {runtime} {version} for aarch64")
        _runtime(draft, runtime, version)
    compiler = _runners(draft, tell, told)
    no_counts = build.counter(draft.counter) or _refused(draft)
    made = Made(
        qemu=_qemu_version(draft),
        versions=pins.versions(),
        compiler=compiler,
        no_counts=no_counts,
        seconds=time.perf_counter() - begun,
        bytes=sum(each.stat().st_size for each in draft.folder.rglob("*") if each.is_file()),
        notes=tuple(notes),
    )
    (draft.folder / DONE).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _system(draft: Entry, tell: Tell, told: Tell) -> None:
    """QEMU and ARM's C and C++ libraries: Debian's, else those of this host."""
    if problem := fetch.cannot_unpack():
        _borrow(draft, problem)
        told(f"{problem}: taking qemu-aarch64 and aarch64 libraries of this host")
        return
    tell("fetching QEMU and the libraries of an aarch64 system (16 MB)")
    whole = draft.folder / "whole"
    fetch.debian((*pins.QEMU, *pins.SYSROOT), whole, told)
    (whole / "usr/aarch64-linux-gnu/lib").rename(draft.libraries)
    for kept in (draft.qemu, draft.qemu_libraries):
        kept.parent.mkdir(parents=True, exist_ok=True)
        (whole / kept.relative_to(draft.folder / "qemu")).rename(kept)
    shutil.rmtree(whole)


def _borrow(draft: Entry, problem: str) -> None:
    qemu = shutil.which("qemu-aarch64")
    found = [Path("/", each) for each in _LOADERS if Path("/", each, machine.LOADER).exists()]
    if not qemu or not found:
        absent = "qemu-aarch64 on the PATH" if not qemu else f"libraries of aarch64 in /{_LOADERS[0]}"
        raise EdgepackError(
            f"{problem}, and there is no {absent}",
            hint="install your system's packages of QEMU's user emulation and of the aarch64 cross compiler",
        )
    draft.qemu.parent.mkdir(parents=True)
    draft.qemu_libraries.mkdir(parents=True)
    draft.qemu.symlink_to(qemu)
    draft.libraries.symlink_to(found[0])


def _runtime(draft: Entry, runtime: pins.Runtime, version: str) -> None:
    folder = draft.folder / f"{runtime}-wheel"
    with zipfile.ZipFile(fetch.wheel(runtime, version, folder)) as archive:
        for name in archive.namelist():
            if name.startswith(_KEPT):
                archive.extract(name, draft.folder)
    shutil.rmtree(folder)


def _runners(draft: Entry, tell: Tell, told: Tell) -> str:
    """Compile the runners; what with."""
    cross = draft.folder / "cross"
    compiler = cross_compiler(draft, cross, tell, told)
    for runtime in pins.WHEELS:
        tell(f"compiling the runner of {runtime}")
        build.runner(runtime, compiler, draft.folder / runtime, draft.runner(runtime))
    shutil.rmtree(cross, ignore_errors=True)
    shutil.rmtree(draft.folder / "executorch" / "include")
    return compiler.about


def cross_compiler(entry: Entry, folder: Path, tell: Tell, told: Tell) -> build.Compiler:
    """The cross compiler on the PATH; else Debian's, or Zig for the libraries of `entry`, put into `folder`.

    Raises EdgepackError where none can be had.
    """
    if found := build.cross():
        return found
    if problem := fetch.cannot_unpack():
        headers = build.headers()
        tell(f"{problem}: fetching Zig to compile with, for now only (101 MB)")
        fetch.zig(folder)
        return build.zig(folder, entry.libraries, headers)
    tell("fetching a cross compiler, for now only (48 MB)")
    fetch.debian((*pins.COMPILER, *pins.SYSROOT), folder, told)
    return build.unpacked(folder)


def _refused(draft: Entry) -> str:
    """Why QEMU does not take the counter, tried on the ARM loader's own version; empty where it does."""
    line = machine.line(draft, machine.MODELS["cortex-a53"].name, draft.folder, counts="tried.txt")
    ended = _run_tried(draft, [*line, str(draft.libraries / machine.LOADER), "--version"])
    (draft.folder / "tried.txt").unlink(missing_ok=True)
    if ended.returncode == 0:
        return ""
    return f"QEMU does not take the counter: {(ended.stderr.strip().splitlines() or ['no word'])[-1]}"


def _qemu_version(draft: Entry) -> str:
    ended = _run_tried(draft, [str(draft.qemu), "--version"])
    if ended.returncode:
        raise EdgepackError(f"QEMU does not start: {ended.stderr.strip()}")
    return ended.stdout.splitlines()[0]


def _run_tried(draft: Entry, line: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        cwd=draft.folder,
        env=machine.environment(draft),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
