"""Build an architecture as a user would: by the command, in a process of its own, with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import ENVIRONMENT
from benchmarks.nets import ROOT
from benchmarks.zoo import result, samples
from benchmarks.zoo.architecture import Architecture
from benchmarks.zoo.result import Ended, Result
from edgepack import bundle, report

_TARGET = Path(__file__).with_name("all_formats.toml")
_CALIBRATION, _EVALUATION = 16, 24
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_SOURCE = """from pathlib import Path

from benchmarks.zoo import preparation, table


def model():
    module = preparation.prepare(table.find({name!r}))
    count = sum(parameter.numel() for parameter in module.parameters())
    Path(__file__).with_name("parameters").write_text(str(count))
    return module
"""


def build(architecture: Architecture, seconds: float) -> Result:
    """Build for all formats. It is killed after `seconds`."""
    with tempfile.TemporaryDirectory(prefix="edgepack-zoo-") as name:
        folder = Path(name)
        _write(architecture, folder)
        code, log, cpu, memory, late = _run(_command(architecture, folder), folder, seconds)
        log = log.replace(f"{folder}{os.sep}", "")
        found = next(iter((folder / "out").glob(f"*/{bundle.REPORT}")), None)
        notes: tuple[str, ...] = ()
        cells = result.without_report(code, log)
        if found is not None:
            whole = report.from_json(found.read_text("utf-8").replace(f"{folder}{os.sep}", ""))
            cells, notes = result.cells(whole), whole.notes
        parameters = int((folder / "parameters").read_text()) if (folder / "parameters").exists() else 0
        ended = _ended(code, log, late=late)
        return Result(
            architecture.name, parameters, code, round(cpu, 1), round(memory), cells, notes, ended
        )  # fmt: skip


def _ended(code: int, log: str, *, late: bool) -> Ended:
    if late:
        return "time limit"
    if code < 0:
        return "crash"
    return "traceback" if "Traceback (most recent" in log else ""


def _write(architecture: Architecture, folder: Path) -> None:
    """Write the model's file and its samples."""
    (folder / "model.py").write_text(_SOURCE.format(name=architecture.name), encoding="utf-8")
    for name, count, seed in (("calib", _CALIBRATION, 2), ("eval", _EVALUATION, 3)):
        arrays = list(samples.make(architecture.feeds, count, seed)[0].values())
        named = (
            {f"inputs_{n}": array for n, array in enumerate(arrays)}
            if len(arrays) > 1
            else {"inputs": arrays[0]}
        )
        np.savez(folder / f"{name}.npz", allow_pickle=False, **named)


def _command(architecture: Architecture, folder: Path) -> list[str]:
    inputs = [word for feed in architecture.feeds for word in ("--input", feed.spec)]
    return [
        str(Path(sys.executable).with_name("edgepack")), "build", f"{folder}/model.py:model",
        "--target", str(_TARGET), *inputs, "--calib", str(folder / "calib.npz"),
        "--eval", str(folder / "eval.npz"), "--no-emulator", "--out", str(folder / "out"),
    ]  # fmt: skip


def _run(command: list[str], folder: Path, seconds: float) -> tuple[int, str, float, float, bool]:
    """Exit code, output, CPU seconds, peak memory in 10^6 bytes, and whether the time limit ended it."""
    log = folder / "log"
    python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": python_path, "COLUMNS": "200"}
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        end, late = time.monotonic() + seconds, False
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end and not late:
                late = True
                os.killpg(child.pid, signal.SIGKILL)
            time.sleep(0.2)
    child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text("utf-8", "replace")
    return child.returncode, text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT / 1e6, late
