"""Build an architecture as a user would: by the command's arguments, in a process of its own, with a time
limit. The process is a fork of one that has the libraries imported."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import ENVIRONMENT
from benchmarks.nets import ROOT
from benchmarks.zoo import result, samples, worker
from benchmarks.zoo.architecture import Architecture
from benchmarks.zoo.result import Ended, Result
from edgepack import bundle, report
from edgepack.evaluate.fork_server import Children

_TARGET = Path(__file__).with_name("all_formats.toml")
_CALIBRATION, _EVALUATION = 16, 24
_SOURCE = """from pathlib import Path

from benchmarks.zoo import preparation, table


def model():
    module = preparation.prepare(table.find({name!r}))
    count = sum(parameter.numel() for parameter in module.parameters())
    Path(__file__).with_name("parameters").write_text(str(count))
    return module
"""


def build(architecture: Architecture, seconds: float, children: Children) -> Result:
    """Build for all formats, by `worker.children()`. It is killed after `seconds`."""
    with tempfile.TemporaryDirectory(prefix="edgepack-zoo-") as name:
        folder = Path(name)
        write(architecture, folder)
        worker.write_arguments(arguments(architecture, folder), folder)
        ended = children.run(folder, _environment(), seconds)
        code = -signal.SIGKILL if ended is None else ended
        log = (folder / worker.LOG).read_text("utf-8", "replace") if (folder / worker.LOG).exists() else ""
        usage = worker.read_usage(folder)
        log = log.replace(f"{folder}{os.sep}", "")
        found = next(iter((folder / "out").glob(f"*/{bundle.REPORT}")), None)
        notes: tuple[str, ...] = ()
        cells = result.without_report(code, log)
        if found is not None:
            whole = report.from_json(found.read_text("utf-8").replace(f"{folder}{os.sep}", ""))
            cells, notes = result.cells(whole), whole.notes
        parameters = int((folder / "parameters").read_text()) if (folder / "parameters").exists() else 0
        return Result(
            architecture.name,
            parameters,
            code,
            round(usage.cpu_seconds, 1),
            round(usage.memory_mb),
            cells,
            notes,
            _ended(ended, log),
        )


def _ended(code: int | None, log: str) -> Ended:
    if code is None:
        return "time limit"
    if code < 0:
        return "crash"
    return "traceback" if "Traceback (most recent" in log else ""


def write(architecture: Architecture, folder: Path) -> None:
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


def arguments(architecture: Architecture, folder: Path) -> list[str]:
    inputs = [word for feed in architecture.feeds for word in ("--input", feed.spec)]
    return [
        "build", f"{folder}/model.py:model",
        "--target", str(_TARGET), *inputs, "--calib", str(folder / "calib.npz"),
        "--eval", str(folder / "eval.npz"), "--no-emulator", "--out", str(folder / "out"),
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": python_path, "COLUMNS": "200"}
