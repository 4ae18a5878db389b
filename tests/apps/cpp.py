"""Proof of the C++ apps: configured and built by CMake, run on this host and on an emulated ARM board."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import util
from pathlib import Path
from subprocess import CompletedProcess

from edgepack import bundle, target
from edgepack.emulator.arm import build, cache, machine
from edgepack.emulator.arm.entry import Entry
from edgepack.errors import EdgepackError

from . import Row, of
from .cases import PICTURES, ROOT, called

BOARD = "raspberry-pi-4"
QUICK = "-DCMAKE_BUILD_TYPE=Debug"
"""An option of `built` that compiles in two thirds of the time."""


def absent() -> str:
    """Why nothing can be built here; empty where it can."""
    missing = [each for each in ("cmake", "c++") if not shutil.which(each)]
    return f"{' and '.join(missing)} not installed" if missing else ""


def package(name: str) -> Path:
    """The folder of an installed Python package, which is not imported."""
    spec = util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def environment() -> dict[str, str]:
    """The environment in which the apps find ONNX Runtime on this host."""
    (library,) = (package("onnxruntime") / "capi").glob("libonnxruntime.so.*")
    return {**os.environ, "ONNXRUNTIME_LIBRARY": str(library)}


def run(line: list[object], folder: Path, env: dict[str, str] | None = None) -> CompletedProcess[str]:
    """How a command ended, with what it said."""
    words = [str(each) for each in line]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


def built(app: Path, build: str, *options: str, env: dict[str, str] | None = None) -> str:
    """Configure and build with warnings as errors; what went wrong, or empty."""
    root = f"-DEXECUTORCH_ROOT={package('executorch')}"
    given = (root, *options) if "executorch" in (app / "CMakeLists.txt").read_text() else options
    for line in (["cmake", "-B", build, "-DAPP_WERROR=ON", *given], ["cmake", "--build", build, "-j", "2"]):
        ended = run([*line], app, env)
        if ended.returncode:
            said = (ended.stdout + ended.stderr).splitlines()
            errors = [each for each in said if "error" in each.lower()]
            return (errors or said[-1:] or ["no word"])[0]
    return ""


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    if problem := absent():
        return [Row("build", "skipped", problem)]
    if problem := built(app, "build"):
        return [Row("build", "failed", problem)]
    rows = [Row("build, warnings as errors", "ok", _version("c++"))]
    rows += _runs(app, folder, environment())
    rows.append(_installed(app))
    if shutil.which("systemd-analyze"):
        ended = run(["systemd-analyze", "verify", "build/app.service"], app)
        lines = [each for each in ended.stderr.splitlines() if "is not executable" not in each]
        rows.append(of("systemd unit", lines, ""))
    return [*rows, *_on_arm(app)]


def _version(command: str) -> str:
    return run([command, "--version"], ROOT).stdout.splitlines()[0]


def _runs(app: Path, folder: Path, env: dict[str, str]) -> list[Row]:
    rows = [_selftested("self-test on this host", run(["build/app", "--selftest"], app, env))]
    wrong = [path.stem for path in sorted(PICTURES.glob("*.png")) if not _names(app, path, folder, env)]
    return [*rows, of("labels of real pictures", wrong, "all as their file names say")]


def _installed(app: Path) -> Row:
    """The command with its model, installed elsewhere."""
    what = "installed, self-test there"
    with tempfile.TemporaryDirectory() as scratch:
        ended = run(["cmake", "--install", "build", "--prefix", scratch], app)
        if ended.returncode:
            return Row(what, "failed", ended.stderr.strip())
        if not (Path(scratch) / "lib/systemd/system/app.service").is_file():
            return Row(what, "failed", "the systemd unit is not there")
        line = [Path(scratch) / "bin/app", "--selftest", "--data", Path(scratch) / "share/app"]
        return _selftested(what, run(line, Path(scratch), environment()))


def _selftested(what: str, ended: CompletedProcess[str]) -> Row:
    told = [each for each in ended.stdout.splitlines() if each.startswith(("passed", "FAILED"))]
    return Row(what, "failed" if ended.returncode else "ok", (told or [ended.stderr.strip()])[0])


def _names(app: Path, path: Path, folder: Path, env: dict[str, str]) -> bool:
    """Whether the app's label of a picture is the one that its file is called after."""
    labels = bundle.open_bundle(folder)[2].labels
    said = run(["build/app", path, "--top", "1"], app, env).stdout
    given = next((each for each in labels if said.rstrip().endswith(f"  {each}")), "")
    return called(given) == path.stem


def _on_arm(app: Path) -> list[Row]:
    """The same app, cross-compiled, on an emulated board."""
    what = f"self-test, cross-compiled, on an emulated {BOARD}"
    try:
        entry = cache.setup(lambda text: print(text, file=sys.stderr))
    except EdgepackError as cause:
        return [Row(what, "skipped", str(cause))]
    try:
        compiler = _cross_compiler(entry)
    except EdgepackError as cause:
        return [Row(what, "skipped", str(cause))]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "executorch"
        root.mkdir()
        (root / "include").symlink_to(package("executorch") / "include")
        (root / "lib").symlink_to(entry.library("executorch"))
        options = (
            f"-DCMAKE_CXX_COMPILER={compiler.line[0]}",
            f"-DCMAKE_CXX_FLAGS={' '.join(compiler.line[1:])}",
            f"-DEXECUTORCH_ROOT={root}",
        )
        chain = "--toolchain=cmake/aarch64-linux-gnu.cmake"
        if problem := built(app, "build-arm", chain, *options, env={**os.environ, **compiler.environment}):
            return [Row(what, "failed", problem)]
        return [_emulated(what, app, entry)]


@functools.cache
def _cross_compiler(entry: Entry) -> build.Compiler:
    """Had once for all apps; gone when this program ends."""
    folder = tempfile.mkdtemp(prefix="edgepack-cross-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return cache.cross_compiler(entry, Path(folder) / "cross", lambda _: None, lambda _: None)


def _emulated(what: str, app: Path, entry: Entry) -> Row:
    board = target.load(BOARD)
    assert board.emulator is not None
    with tempfile.TemporaryDirectory() as system:
        machine.write(board, entry, Path(system))
        line = [*machine.line(entry, board.emulator.cpu, Path(system)), app / "build-arm" / "app"]
        (library,) = entry.library("onnxruntime").glob("libonnxruntime.so.*")
        env = {**machine.environment(entry), "ONNXRUNTIME_LIBRARY": str(library)}
        return _selftested(what, run([*line, "--selftest", "--threads", "1"], app, env))
