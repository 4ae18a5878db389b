"""Whole networks in the evaluator: edgepack's own files against torch, a foreign one against its twin."""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepack import formats, target
from edgepack.arrays import Array
from edgepack.model import source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet

_LABELS = 10


def _scores(own: source.Source, path: Path) -> Array:
    runner = formats.load("coreml").load(path)
    return np.concatenate([runner(sample)[0] for sample in own.evaluation.inputs])


def _expected(own: source.Source) -> Array:
    logits = np.concatenate([outputs[0] for outputs in own.reference]).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("scheme", "most", "agreement"),
    [("fp32", 2e-5, 1), ("fp16", 0.01, 0.99), ("w8", 0.1, 0.97), ("p6", 0.3, 0.95), ("w8a8", 0.4, 0.93)],
)
def test_fashion_mnist(
    small_source: source.Source, tmp_path: Path, scheme: SchemeName, most: float, agreement: float
) -> None:
    path = tmp_path / "net.mlpackage"
    formats.load("coreml").export(small_source, Recipe(scheme), target.load("iphone-15"), path)
    ours, expected = _scores(small_source, path), _expected(small_source)
    assert ours.shape == (100, _LABELS)
    off = np.abs(ours - expected).max()
    assert off <= most
    assert scheme == "fp32" or off > 0, "it was rounded"
    assert (ours.argmax(-1) == expected.argmax(-1)).mean() >= agreement


_PITCH = "basic_pitch/saved_models/icassp_2022"
_SHA256 = "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0"
"""Of basic_pitch-0.4.0-py2.py3-none-any.whl on PyPI."""


@pytest.fixture
def pitch(tmp_path: Path) -> Path:
    """basic-pitch (Bittner and others, ICASSP 2022; Apache-2.0): one net as .mlpackage and .onnx."""
    line = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "-q",
        "-d",
        str(tmp_path),
        "basic-pitch==0.4.0",
    ]
    ended = subprocess.run(line, capture_output=True, text=True)
    if ended.returncode:
        pytest.skip(f"basic-pitch cannot be downloaded: {ended.stderr.strip().splitlines()[-1]}")
    (wheel,) = tmp_path.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == _SHA256
    with zipfile.ZipFile(wheel) as held:
        held.extractall(tmp_path)
    return tmp_path / _PITCH


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "most"), [(0.1, 1e-5), (0.02, 1e-3)])
def test_a_foreign_package_answers_as_its_twin_in_onnx(pitch: Path, noise: float, most: float) -> None:
    """On noise, and on a chord, whose empty bands make the net's logarithm amplify float rounding:
    ONNX Runtime with and without its optimizations differs by 0.002 on a purer one."""
    import onnxruntime

    with quiet():
        from edgepack.emulator import coreml

        program = coreml.read(pitch / "nmp.mlpackage")
    session = onnxruntime.InferenceSession(str(pitch / "nmp.onnx"))
    draw, time = np.random.default_rng(0), np.arange(43844) / 22050
    chord = sum(0.2 * np.sin(2 * np.pi * tone * time) for tone in (220, 277.2, 329.6)) if noise < 0.1 else 0
    x = (noise * draw.standard_normal(43844) + chord).astype(np.float32).reshape(1, -1, 1)
    twin = session.run(None, {session.get_inputs()[0].name: x})
    there = {each.name[-1]: value for each, value in zip(session.get_outputs(), twin)}
    for name, number in (("Identity", "0"), ("Identity_1", "1"), ("Identity_2", "2")):
        ours = program.run({"input_2": x})[name]
        assert ours.shape == there[number].shape
        assert there[number].std() > 0.01
        assert np.abs(ours - there[number]).max() < most


def _seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


@pytest.mark.slow
def test_mobilenet_v2_takes_less_than_three_times_of_torch_s_time(tmp_path: Path) -> None:
    """Paired runs of one thread, in turn; the median of their ratios."""
    from conftest import source_of

    from edgepack.model import torchvision

    torch.manual_seed(0)
    with quiet():
        net = torchvision._models().mobilenet_v2(weights=None).eval()
    x = torch.randn(1, 3, 224, 224)
    formats.load("coreml").export(
        source_of(net, [x]), Recipe("fp32"), target.load("iphone-15"), tmp_path / "net.mlpackage"
    )
    runner, sample = formats.load("coreml").load(tmp_path / "net.mlpackage"), (x.numpy(),)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            runs = [(_seconds(lambda: runner(sample)), _seconds(lambda: net(x))) for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    assert statistics.median(ours / theirs for ours, theirs in runs[5:]) < 3
