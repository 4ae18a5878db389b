"""Sound in apps: read to the last bit and fed call by call; a bad recording is refused in a sentence."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from apps import cases, cpp
from numpy.typing import NDArray

import edgepack
from edgepack.app import render
from edgepack.app.render import Choice
from edgepack.contract import AudioInput

NET = """
from torch import nn


class Meter(nn.Module):
    def forward(self, sound, total):
        return sound.abs().mean(dim=-1, keepdim=True), total + sound.sum(dim=-1, keepdim=True)


def net():
    return Meter()
"""
SETTINGS = """
[model]
source = "net.py:net"
[[input]]
kind = "audio"
name = "sound"
sample_rate = 8000
shape = [1, 24]
hop = 16
[[input]]
kind = "tensor"
name = "total"
shape = [1, 1]
[[output]]
kind = "regression"
name = "loud"
units = "full scale"
[[output]]
name = "sum"
[[state]]
input = "total"
output = "sum"
[build]
targets = ["raspberry-pi-5"]
formats = ["onnx"]
"""
WIDTHS = [(8, 1, False), (16, 1, False), (24, 1, True), (32, 1, False), (32, 3, False), (32, 3, True)]


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a model that takes 16 new samples a call, after 8 old ones, and adds up all."""
    home = tmp_path_factory.mktemp("meter")
    (home / "net.py").write_text(NET)
    (home / "edgepack.toml").write_text(SETTINGS)
    edgepack.build(str(home), scheme="fp32", out=str(home / "out"), emulator=False)
    return home / "out" / "raspberry-pi-5"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float32]]:
    path = tmp_path_factory.mktemp("sound") / "two channels.wav"
    sound = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    return path, cases.wav(path, sound, 8000, 16)


def wanted(samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    """What the meter answers to a recording, call by call, as CONTRACT.md feeds it."""
    found, total = [], 0.0
    padded = np.concatenate([np.zeros(8), samples, np.zeros(-len(samples) % 16)])
    for first in range(0, len(samples), 16):
        piece = padded[first : first + 24]
        total += piece.sum()
        found.append((np.abs(piece).mean(), total))
    return found


@pytest.fixture(scope="module")
def audio(meter: Path) -> ModuleType:
    (name,) = (path.name for path in (meter / "app").iterdir() if path.is_dir())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(meter / "app"))
        return importlib.import_module(f"{name}.audio")


@pytest.mark.parametrize(("bits", "tag", "extensible"), WIDTHS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_are_those_that_the_contract_defines(
    audio: ModuleType, tmp_path: Path, bits: int, tag: int, extensible: bool, channels: int
) -> None:
    sound = np.random.default_rng(bits).uniform(-1, 1, (301, channels))
    want = cases.wav(tmp_path / "a.wav", sound, 8000, bits, tag=tag, extensible=extensible)
    np.testing.assert_array_equal(audio.read_wav(tmp_path / "a.wav", 8000), want)


def test_the_python_app_feeds_a_recording_call_by_call(
    meter: Path, recording: tuple[Path, NDArray[np.float32]]
) -> None:
    (name,) = (path.name for path in (meter / "app").iterdir() if path.is_dir())
    line = [sys.executable, "-m", name, str(recording[0])]
    done = subprocess.run(line, cwd=meter / "app", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r" at (\S+) s: ", done.stdout) == ["0.000", "0.002", "0.004"]
    assert "loud [1, 1] full scale:" in done.stdout
    numbers = [float(each) for each in re.findall(r"\[\[(.*?)\]\]", done.stdout)]
    np.testing.assert_allclose(numbers, np.ravel(wanted(recording[1])), atol=1e-4)


@pytest.fixture(scope="module")
def compiled(meter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if cpp.absent():
        pytest.skip(f"C++ apps are not built: {cpp.absent()}")
    folder = tmp_path_factory.mktemp("cpp") / "app"
    render.rendered(meter, folder, Choice("linux-cpp"), force=False)
    assert cpp.built(folder, "build", cpp.QUICK) == ""
    return folder


def test_so_does_the_c_app(compiled: Path, recording: tuple[Path, NDArray[np.float32]]) -> None:
    done = cpp.run(["build/app", recording[0]], compiled, cpp.environment())
    assert done.returncode == 0, done.stderr
    assert re.findall(r" at (\S+) s: ", done.stdout) == ["0.000", "0.002", "0.004"]
    numbers = [float(each) for each in re.findall(r"\](?: full scale)?: (\S+)", done.stdout)]
    np.testing.assert_allclose(numbers, np.ravel(wanted(recording[1])), atol=1e-4)


def bad(folder: Path) -> dict[Path, str]:
    """Files that are refused, with words of the reason."""
    sound = np.full((20, 1), 0.25)
    cases.wav(folder / "rate.wav", sound, 16000, 16)
    cases.wav(folder / "alaw.wav", sound, 8000, 8, tag=6)
    cases.wav(folder / "half.wav", sound, 8000, 16, tag=3)
    cases.wav(folder / "none.wav", np.zeros((0, 1)), 8000, 16)
    (folder / "noise.wav").write_bytes(b"no RIFF at all")
    cases.wav(folder / "cut.wav", sound, 8000, 16)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:30])
    words = {"rate": "it has 16000 samples a second, and the model takes 8000", "alaw": "format 6 in 8 bits"}
    words |= {"half": "format 3 in 16 bits", "none": "no sound in it", "noise": "it is no .wav file"}
    words |= {"cut": "not a whole one", "gone": "gone.wav"}
    return {folder / f"{name}.wav": text for name, text in words.items()}


def test_a_bad_recording_is_refused_in_a_sentence(meter: Path, tmp_path: Path) -> None:
    (name,) = (path.name for path in (meter / "app").iterdir() if path.is_dir())
    for path, words in bad(tmp_path).items():
        line = [sys.executable, "-m", name, str(path)]
        done = subprocess.run(line, cwd=meter / "app", capture_output=True, text=True, check=False)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


def test_so_it_is_in_c(compiled: Path, tmp_path: Path) -> None:
    for path, words in bad(tmp_path).items():
        done = cpp.run(["build/app", path], compiled, cpp.environment())
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("shape", [(1, 8), (1, "time")])
def test_a_hop_that_does_not_fit_is_refused(shape: tuple[int | str, ...]) -> None:
    with pytest.raises(ValueError, match="hop = 9 does not fit"):
        AudioInput(kind="audio", sample_rate=8000, shape=shape, hop=9)
