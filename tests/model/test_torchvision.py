"""Models of torchvision: their contract and their weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import load, refused, work_folder

from edgepack.contract import ImageInput
from edgepack.model import inference


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_folder(tmp_path, monkeypatch)


def test_torchvision_brings_its_contract_and_a_larger_size_by_flag_scales_the_resize(folder: Path) -> None:
    from edgepack.model import torchvision

    net = torchvision.build("shufflenet_v2_x0_5")
    torch.save(net.state_dict(), folder / "w.pth")
    found = load("torchvision:shufflenet_v2_x0_5", ("image:288",), weights="w.pth")
    (taken,) = found.contract.inputs
    assert isinstance(taken, ImageInput)
    assert (taken.size, taken.resize_to) == ((288, 288), round(288 * 256 / 224))
    assert taken.mean == (0.485, 0.456, 0.406)
    assert found.contract.classes is not None
    assert found.contract.classes.labels[0] == "tench"
    assert found.contract.classes.activation == "softmax"
    assert any("assumed for w.pth" in note for note in found.notes)
    with torch.no_grad():
        wanted = net.eval()(*inference.tensors(found.evaluation.inputs[0]))
    np.testing.assert_allclose(found.reference[0][0], wanted.numpy(), atol=1e-6)


def test_torchvision_without_weights_downloads_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    said = refused(model="torchvision:shufflenet_v2_x0_5", inputs=())
    assert "there are no weights for torchvision:shufflenet_v2_x0_5" in said
    assert "shufflenetv2_x0.5" in said
    assert "did you mean 'resnet18'?" in refused(model="torchvision:resnet81", inputs=())


def test_a_model_that_imports_torchvision_is_imported_whatever_torch_is_installed(folder: Path) -> None:
    (folder / "seen.py").write_text("import torchvision.transforms.v2\nfrom nets import net\n")
    code = "from toy_models import load; print(load('seen.py:net').name)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert ended.stdout == "seen\n", ended.stderr
