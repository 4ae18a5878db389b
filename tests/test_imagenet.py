"""Published ImageNet weights on real photographs; fetches 242 MB once, so it is marked slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgepack

IMAGENET = Path(__file__).resolve().parent.parent / "examples" / "imagenet"


@pytest.mark.slow
def test_mobilenet_v2_keeps_its_accuracy_in_float_and_its_gate_tells_what_int8_loses(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(IMAGENET / "fetch.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (report,) = edgepack.build(
        str(IMAGENET / "mobilenet_v2"), targets=["raspberry-pi-5"], out=str(tmp_path / "out")
    )
    for artifact in report.artifacts:
        figures = artifact.figures
        assert figures.agreement is not None
        assert figures.accuracy is not None
        if artifact.scheme == "fp32":
            assert figures.agreement == 100
            assert figures.accuracy > 75
        else:
            assert artifact.bytes < 0.3 * 14_000_000
            assert 80 < figures.agreement < 100
            gate = next(check for check in artifact.checks if check.name == "agreement")
            assert (gate.verdict == "pass") == (figures.agreement >= 95)
    assert report.app, "some artifact passed, so there is an app"
