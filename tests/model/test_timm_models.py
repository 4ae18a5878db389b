"""Models of timm: their contract, and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import load, refused, work_folder

from edgepack.contract import ImageInput
from edgepack.model import timm_models, torchvision_operators
from edgepack.model.inference import tensors
from edgepack.silence import quiet

torchvision_operators.declare()
with quiet():
    timm: Any = pytest.importorskip("timm")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return work_folder(tmp_path, monkeypatch)


def test_timm_brings_its_contract(folder: Path) -> None:
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", pretrained=False).eval()
    torch.save({"state_dict": net.state_dict()}, folder / "w.pth.tar")
    found = load("timm:test_resnet", (), weights="w.pth.tar")
    (taken,) = found.contract.inputs
    configuration = timm.data.resolve_model_data_config(net)
    assert isinstance(taken, ImageInput)
    assert taken.size == tuple(configuration["input_size"][1:])
    assert (taken.mean, taken.std) == (configuration["mean"], configuration["std"])
    assert taken.interpolation == configuration["interpolation"]
    assert taken.resize_to == int(taken.size[0] / configuration["crop_pct"])
    assert found.contract.classes is not None
    assert found.contract.classes.labels[0] == "tench, Tinca tinca"
    assert found.name == "test_resnet"
    with torch.no_grad():
        wanted = net(*tensors(found.evaluation.inputs[0])).numpy()
    np.testing.assert_allclose(found.reference[0][0], wanted, atol=1e-5)


def test_classes_and_channels_follow_from_the_weights(folder: Path) -> None:
    net = timm.create_model("test_resnet", pretrained=False, num_classes=7, in_chans=1).eval()
    torch.save({f"module.{key}": value for key, value in net.state_dict().items()}, folder / "w.pth")
    found = load("timm:test_resnet", (), weights="w.pth")
    assert found.reference[0][0].shape == (1, 7)
    (taken,) = found.contract.inputs
    assert isinstance(taken, ImageInput)
    assert (taken.channels, len(taken.mean)) == ("L", 1)
    assert any("num_classes = 7 and in_chans = 1" in note for note in found.notes)
    assert found.contract.labels == ()


def test_timm_s_pre_processing_is_the_contract_s() -> None:
    from PIL import Image
    from timm.data import create_transform

    from edgepack.contract.preprocess import prepare

    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    for mode, share, size in (("center", 0.875, (3, 32, 32)), ("squash", 1.0, (3, 32, 24))):
        configuration: dict[str, Any] = {
            "input_size": size,
            "interpolation": "bicubic",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "crop_pct": share,
            "crop_mode": mode,
        }
        transform = create_transform(**configuration)
        configuration["in_chans"] = 3
        table, notes = timm_models._table(configuration)
        wanted = transform(Image.fromarray(pixels)).numpy()[None]
        assert np.abs(prepare(pixels, ImageInput.model_validate(table)) - wanted).mean() < 0.01
        assert not notes
    other = {**configuration, "crop_mode": "border", "interpolation": "lanczos"}
    assert len(timm_models._table(other)[1]) == 2
    assert timm_models._table({**configuration, "in_chans": 5})[0]["shape"] == [1, 5, 32, 24]


def test_what_timm_does_not_have(folder: Path) -> None:
    assert "did you mean 'resnet18'?" in refused(model="timm:resnet81", inputs=())
    assert "timm cannot make 'resnet18.nobody'" in refused(
        model="timm:resnet18.nobody", inputs=(), weights="nets.py"
    )
    said = refused(model="timm:test_resnet", inputs=())
    assert "there are no weights for timm:test_resnet" in said
    assert "model.safetensors of timm/test_resnet" in said
