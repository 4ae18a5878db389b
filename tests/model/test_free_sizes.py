"""Free dimensions: captured at a size that the network takes, and right at others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from toy_models import load, refused, work_folder

from edgepack import formats, target
from edgepack.recipe import Recipe

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.c, self.d = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(16, 3, 3, 1, 1)

    def forward(self, x):
        a = F.relu(self.a(x))
        y = F.relu(self.c(F.relu(self.b(a))))
        y = F.interpolate(y, size=a.shape[-2:], mode="bilinear", align_corners=False)
        return x - self.d(torch.cat([y, a], 1))


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down, self.inner = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.up, self.end = nn.ConvTranspose2d(8, 8, 4, 4), nn.Conv2d(16, 2, 1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        a = self.norm(self.down(x))
        return self.end(torch.cat([a, self.up(self.inner(F.max_pool2d(a, 4)))], 1))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.word, self.place = nn.Embedding(50, 16), nn.Embedding(40, 16)
        self.layer, self.end = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 4)

    def forward(self, ids, mask):
        x = self.word(ids) + self.place(torch.arange(ids.shape[1]))
        return self.end(self.layer(x, src_key_padding_mask=mask == 0))


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 3, 32, 32))

    def forward(self, x):
        return x + self.table


class Odd(nn.Module):
    def forward(self, x):
        return x.reshape(1, 3, 60, -1)[:, :, ::7]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = work_folder(tmp_path, monkeypatch)
    (work / "free.py").write_text(NETS)
    return work


@pytest.mark.parametrize(
    ("name", "inputs", "sizes"),
    [
        ("Denoiser", ("tensor:1x3xHxW",), [(1, 3, 16, 16), (1, 3, 48, 40), (1, 3, 33, 18)]),
        ("UNet", ("tensor:Nx3xHxW",), [(1, 3, 32, 32), (3, 3, 64, 16), (2, 3, 8, 20)]),
        ("Tagger", ("tensor:NxS:int64", "tensor:NxS"), [(1, 16), (2, 9), (4, 40)]),
    ],
)
def test_a_file_is_right_at_other_sizes(
    folder: Path, name: str, inputs: tuple[str, ...], sizes: list[tuple[int, ...]]
) -> None:
    found = load(f"free.py:{name}", inputs=inputs)
    module = formats.load("onnx")
    module.export(found, Recipe("fp32"), target.load("raspberry-pi-5"), folder / "net.onnx")
    session = onnxruntime.InferenceSession(folder / "net.onnx")
    draw = np.random.default_rng(0)
    for size in sizes:
        given = [draw.integers(1, 40, size) if each.dtype == "int64" else draw.standard_normal(size)
                 for each in found.contract.inputs]  # fmt: skip
        row = [array.astype(each.dtype) for array, each in zip(given, found.contract.inputs)]
        assert found.module is not None
        with torch.no_grad():
            (wanted,) = found.module(*map(torch.from_numpy, row))
        (output,) = session.run(None, dict(zip([each.name for each in session.get_inputs()], row)))
        np.testing.assert_allclose(output, wanted, rtol=1e-3, atol=1e-4)


def test_the_samples_size_is_that_of_fixed_graphs(folder: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 3, 24, 40)).astype(np.float32)
    np.savez(folder / "e.npz", inputs=rows)
    found = load("free.py:UNet", inputs=("tensor:1x3xHxW",), eval="e.npz")
    assert found.fixed_sizes == "H is 24, W is 40"
    (placeholder,) = [spec.arg.name for spec in found.exported.graph_signature.input_specs[-1:]]
    (node,) = [node for node in found.exported.graph.nodes if node.name == placeholder]
    assert tuple(node.meta["val"].shape) == (1, 3, 24, 40)


def test_sizes_that_must_be_multiples_are_told() -> None:
    notes = load("free.py:UNet", inputs=("tensor:1x3xHxW",)).notes
    assert {"H must be a multiple of 4", "W must be a multiple of 4"} <= set(notes)
    assert not [note for note in load("nets.py:net", inputs=("tensor:Nx8",)).notes if "multiple" in note]


def test_the_length_that_a_recurrent_layer_fixes_is_named() -> None:
    said = refused(model="free.py:Steps", inputs=("tensor:1xTx4",))
    assert "dimension T of 'input' cannot be free" in said
    assert "the length of a sequence that a recurrent layer reads" in said


def test_a_dimension_that_the_model_fixes_is_named() -> None:
    said = refused(model="free.py:Fixed", inputs=("tensor:1x3xHxW",))
    assert "dimension H of 'input' cannot be free: the model takes 32 only" in said
    assert "declare 32" in said


def test_samples_of_other_sizes_are_left_out(folder: Path) -> None:
    (folder / "rows.py").write_text(
        "import torch\ndef rows():\n    for n in (16, 16, 32, 16):\n        yield torch.randn(1, 3, n, n)\n"
    )
    found = load("free.py:Denoiser", inputs=("tensor:1x3xHxW",), eval="rows.py:rows")
    assert len(found.evaluation) == 3
    assert "1 of 4 samples of rows.py:rows are left out: their size is not 1x3x16x16" in found.notes
