"""The child process: a runtime that crashes, hangs or fails is a `Death`, never ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepack import formats
from edgepack.emulator.job import Death, Job, read_samples, write_samples
from edgepack.evaluate import checks, fork_server, host
from edgepack.scheme import SCHEMES


def _doubling(path: Path, rounds: int = 1) -> None:
    """A model that doubles a [1, 4] tensor `rounds` times."""
    nodes = [
        helper.make_node("Add", [f"v{n}", f"v{n}"], [f"v{n + 1}"], name=f"add{n}") for n in range(rounds)
    ]
    given = helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1, 4])
    answer = helper.make_tensor_value_info(f"v{rounds}", TensorProto.FLOAT, [1, 4])
    model = helper.make_model(
        helper.make_graph(nodes, "doubling", [given], [answer]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, path)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "samples.npz"
    rows = tuple((np.full((1, 4), float(n), np.float32),) for n in range(12))
    write_samples(rows, path)
    return path


def test_samples_come_back_in_their_order(samples: Path) -> None:
    assert [float(row[0][0, 0]) for row in read_samples(samples)] == [float(n) for n in range(12)]


def test_a_run_gives_outputs_and_figures(tmp_path: Path, samples: Path) -> None:
    _doubling(tmp_path / "one.onnx")
    _doubling(tmp_path / "many.onnx", rounds=400)
    job = Job("onnx", str(tmp_path / "many.onnx"), str(samples), str(tmp_path / "one.onnx"))
    run = host.run(job, tmp_path / "run", 120)
    assert isinstance(run, host.Run)
    assert [row[0].shape for row in run.outputs] == [(1, 4)] * 12
    assert run.latency_ratio is not None
    assert run.latency_ratio > 1, "four hundred additions take longer than one"
    assert run.latency_spread is not None
    assert run.latency_spread[0] <= run.latency_ratio <= run.latency_spread[1]
    if sys.platform == "linux":
        assert run.memory_mb is not None
        assert 0 < run.memory_mb < 500


def test_a_file_that_its_runtime_refuses_is_a_death_with_the_runtimes_words(
    tmp_path: Path, samples: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    death = host.run(Job("onnx", str(tmp_path / "bad.onnx"), str(samples)), tmp_path / "run", 120)
    assert isinstance(death, Death)
    assert "bad.onnx" in death.reason
    (check,) = checks.died(death)
    assert check.verdict == "fail"


def test_a_runtime_that_hangs_is_stopped(tmp_path: Path, samples: Path) -> None:
    _doubling(tmp_path / "one.onnx")
    death = host.run(Job("onnx", str(tmp_path / "one.onnx"), str(samples)), tmp_path / "run", 0.01)
    assert isinstance(death, Death)
    assert "no end after" in death.reason


def _third_party(folder: Path, body: str) -> None:
    """A package that brings the format `brittle` by the entry point, as others would."""
    members = "".join(f"{name} = None\n" for name in formats._REQUIRED)
    (folder / "brittle.py").write_text(members + textwrap.dedent(body))
    info = folder / "brittle-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brittle\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgepack.formats]\nbrittle = brittle\n")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_third_partys_runtime_that_crashes_is_a_death_by_its_signal(
    tmp_path: Path, samples: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _third_party(
        tmp_path,
        f"""
        import os, signal
        def import_runtime(): pass
        def load(path):
            os.kill(os.getpid(), signal.{name})
        """,
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    death = host.run(Job("brittle", "model", str(samples)), tmp_path / "run", 120)
    assert isinstance(death, Death)
    assert name in death.reason
    assert ("out of memory" in death.reason) == (name == "SIGKILL")


def test_a_runtime_whose_import_crashes_is_a_death(
    tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _third_party(
        tmp_path,
        """
        import os, signal
        def import_runtime(): os.kill(os.getpid(), signal.SIGSEGV)
        """,
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for folder in ("first", "second"):
        death = host.run(Job("brittle", "model", str(samples)), tmp_path / folder, 120)
        assert isinstance(death, Death)
        assert "SIGSEGV" in death.reason


@pytest.mark.skipif(not fork_server.IS_AVAILABLE, reason="a fork server needs Linux")
def test_runs_share_the_import_of_their_runtime_and_nothing_else(
    tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _third_party(
        tmp_path,
        """
        import sys
        from pathlib import Path
        import numpy as np
        imports = runs = 0
        def import_runtime():
            global imports
            imports += 0 if "wave" in sys.modules else 1
            import wave
        def load(path):
            global runs
            runs += 1
            return lambda sample: (np.array([imports, runs]),)
        """,
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for folder in ("first", "second"):
        run = host.run(Job("brittle", "model", str(samples)), tmp_path / folder, 120)
        assert isinstance(run, host.Run)
        assert {tuple(output[0].tolist()) for output in run.outputs} == {(1, 1)}


def test_an_interrupt_takes_the_child_along(tmp_path: Path, samples: Path) -> None:
    _third_party(tmp_path, "import time\ndef import_runtime(): time.sleep(600)\n")
    program = (
        "import sys; from pathlib import Path; "
        "from edgepack.emulator import job; from edgepack.evaluate import host;"
        f"host.run(job.Job('brittle', 'model', {str(samples)!r}), Path({str(tmp_path / 'run')!r}), 600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    for _ in range(600):
        if (tmp_path / "run" / "log.txt").exists():
            break
        time.sleep(0.05)
    threading.Timer(1.0, lambda: parent.send_signal(signal.SIGINT)).start()
    parent.communicate(timeout=60)
    assert _is_gone(parent.pid)


def _is_gone(group: int) -> bool:
    """Whether a process group ends within ten seconds: a killed process takes a moment to go."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_every_scheme_has_its_limits() -> None:
    schemes = {scheme for name in formats.names() for scheme in formats.load(name).schemes}
    assert schemes <= set(checks.REPEATS)
    assert {each for each in schemes if SCHEMES[each].is_float} <= set(checks.FLOAT_SQNR_DB)
