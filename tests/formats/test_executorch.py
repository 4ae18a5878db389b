"""ExecuTorch: the clamp of a ReLU6 is joined to its layer before int8 ranges are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import formats, plan, source, target
from edgepack.formats import executorch
from edgepack.recipe import Recipe

FASHION = Path(__file__).resolve().parent.parent.parent / "examples" / "fashion_mnist"
_NET = f"""
import sys
sys.path.insert(0, {str(FASHION)!r})
from safetensors.torch import load_file
from torch import nn
import model

def net():
    # trained weights, ReLU clamped at 6
    found = model.net()
    found.load_state_dict(load_file({str(FASHION / "weights.safetensors")!r}))
    for module in list(found.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.ReLU6())
    return found
"""


@pytest.fixture(scope="module")
def clamped(tmp_path_factory: pytest.TempPathFactory) -> source.Source:
    folder = tmp_path_factory.mktemp("clamped")
    (folder / "clamped.py").write_text(_NET)
    config = (FASHION / "edgepack.toml").read_text()
    config = config.replace("model.py:net", "clamped.py:net").replace('weights = "weights.safetensors"', "")
    config = config.replace('"labels.txt"', f'"{FASHION / "labels.txt"}"').replace(
        '"data/', f'"{FASHION}/data/'
    )
    (folder / "edgepack.toml").write_text(config)
    choices = plan.Choices(model=str(folder), targets=("raspberry-pi-5",), out=str(folder / "out"))
    return source.load(plan.resolve(choices))


def _sqnr(loaded: source.Source, path: Path) -> float:
    runner = formats.load("executorch").load(path)
    noise = signal = 0.0
    for sample, outputs in list(zip(loaded.evaluation.inputs, loaded.reference))[:200]:
        noise += float(np.sum((runner(sample)[0] - outputs[0]) ** 2))
        signal += float(np.sum(outputs[0] ** 2))
    return 10 * float(np.log10(signal / noise))


def test_joining_the_clamps_brings_the_int8_file_closer(
    clamped: source.Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, device = formats.load("executorch"), target.load("raspberry-pi-5")
    module.export(clamped, Recipe("w8a8"), device, tmp_path / "joined.pte")
    monkeypatch.setattr(executorch, "_join_clamps", lambda observed: None)
    module.export(clamped, Recipe("w8a8"), device, tmp_path / "apart.pte")
    joined, apart = _sqnr(clamped, tmp_path / "joined.pte"), _sqnr(clamped, tmp_path / "apart.pte")
    assert joined > 20
    assert joined > apart + 0.5
    described = formats.describe(tmp_path / "joined.pte")
    assert described.quantized == 1
    assert described.delegated == 1
