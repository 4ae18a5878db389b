"""What the tests of formats share: trained and woven networks as sources, and how close a file comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgepack import formats, plan, target
from edgepack.formats import Description, Exported
from edgepack.model import source
from edgepack.model.source import Source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe

_SAMPLES = 300
FASHION = Path(__file__).resolve().parent.parent / "examples" / "fashion_mnist"
CLAMPED = f"""
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
WOVEN = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    # a concatenation, sums, a product, a pad, pixels as rows: what lies between the layers of real nets
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.left = nn.Conv2d(16, 8, 1)
        self.right = nn.Conv2d(16, 8, 3, padding=1)
        self.mix = nn.Conv2d(16, 16, 3)
        self.gate = nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(16, 32, 2, 2)
        self.head = nn.Linear(32, 32)
        self.tail = nn.Linear(32, 6)
        for each in (self.stem, self.left, self.right, self.mix, self.gate, self.up, self.head, self.tail):
            nn.init.zeros_(each.bias)

    def forward(self, x):
        x = F.relu6(self.stem(x))
        x = x + torch.cat([F.relu(self.left(x)), F.relu(self.right(x))], 1)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        x = F.relu(self.mix(F.pad(1.5 * x, (0, 2, 1, 1))) + x)
        x = F.silu(self.up(F.max_pool2d(x, 2)))
        x = self.head(x.permute(0, 2, 3, 1))
        return self.tail(x.reshape(x.shape[0], -1, 32))


def net():
    torch.manual_seed(0)
    return Net().eval()
"""
_WOVEN_SETTINGS = """
[model]
source = "net.py:net"
[input]
kind = "tensor"
shape = ["batch", 3, 16, 16]
[data]
calib = "calib.npz"
eval = "eval.npz"
[build]
targets = ["raspberry-pi-5"]
"""
READER = """
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    # attention and two linear layers behind normalizations, as in an encoder for text
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.LayerNorm(64), nn.LayerNorm(64)
        self.query, self.key, self.value, self.out = (nn.Linear(64, 64) for _ in range(4))
        self.up, self.down = nn.Linear(64, 128), nn.Linear(128, 64)
        with torch.no_grad():  # a few channels far greater than the rest, as trained transformers have them
            self.before.weight[[3, 17]] = 30.0
            self.after.weight[[3, 40]] = 30.0
            for layer in (self.query, self.key, self.value):
                layer.weight[:, [3, 17]] /= 30.0
            self.up.weight[:, [3, 40]] /= 30.0

    def forward(self, x, mask):
        read = self.before(x)
        parts = (self.query(read), self.key(read), self.value(read))
        heads = [each.unflatten(-1, (4, 16)).transpose(1, 2) for each in parts]
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        read = self.after(x)
        return x + self.down(F.gelu(self.up(read)))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(500, 64)
        with torch.no_grad():  # rows of very different size: one scale for all would lose the small ones
            self.words.weight.mul_(torch.logspace(-2, 0, 500)[:, None])
        self.block = Block()
        self.head = nn.Linear(64, 8)

    def forward(self, tokens, mask):
        kept = mask.bool()[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
        x = self.block(self.words(tokens), kept)
        kept = mask.unsqueeze(-1).float()
        return self.head((x * kept).sum(1) / kept.sum(1))


def net():
    torch.manual_seed(0)
    return Reader().eval()
"""
_READER_SETTINGS = """
[model]
source = "net.py:net"
[[input]]
kind = "tensor"
name = "tokens"
shape = [1, 12]
dtype = "int64"
[[input]]
kind = "tensor"
name = "mask"
shape = [1, 12]
dtype = "int64"
[data]
calib = "calib.npz"
eval = "eval.npz"
[build]
targets = ["raspberry-pi-5"]
"""


def _load(folder: Path) -> Source:
    choices = BuildOptions(model=str(folder), targets=("raspberry-pi-5",), out=str(folder / "out"))
    return source.load(plan.resolve(choices))


def _fashion(folder: Path, code: str) -> Source:
    (folder / "clamped.py").write_text(code)
    config = (FASHION / "edgepack.toml").read_text()
    config = config.replace("model.py:net", "clamped.py:net").replace('weights = "weights.safetensors"', "")
    config = config.replace('"labels.txt"', f'"{FASHION / "labels.txt"}"')
    (folder / "edgepack.toml").write_text(config.replace('"data/', f'"{FASHION}/data/'))
    return _load(folder)


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The Fashion-MNIST network with its trained weights; no ranges are calibrated yet."""
    return _fashion(tmp_path_factory.mktemp("fashion"), CLAMPED.replace("nn.ReLU6()", "nn.ReLU()"))


@pytest.fixture(scope="module")
def clamped(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The same, its ReLU clamped at 6."""
    return _fashion(tmp_path_factory.mktemp("clamped"), CLAMPED)


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """An encoder for text in small: an embedding, attention, and channels that stand out."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "net.py").write_text(READER)
    (folder / "edgepack.toml").write_text(_READER_SETTINGS)
    draw = np.random.default_rng(0)
    for name, count in (("calib", 32), ("eval", 40)):
        tokens = draw.integers(0, 500, (count, 1, 12))
        mask = (np.arange(12) < draw.integers(3, 13, (count, 1, 1))).astype(np.int64)
        np.savez(folder / f"{name}.npz", allow_pickle=False, inputs_0=tokens, inputs_1=mask)
    return _load(folder)


@pytest.fixture(scope="module")
def woven(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A network of many kinds of operators, of any batch."""
    folder = tmp_path_factory.mktemp("woven")
    (folder / "net.py").write_text(WOVEN)
    (folder / "edgepack.toml").write_text(_WOVEN_SETTINGS)
    draw = np.random.default_rng(0)
    for name in ("calib", "eval"):
        np.savez(folder / name, inputs=draw.standard_normal((40, 3, 16, 16)).astype(np.float32))
    return _load(folder)


@dataclass(frozen=True)
class Written:
    """A file, and how close it comes to the float model on the evaluation samples."""

    path: Path
    exported: Exported
    holds: Description
    agreement: float
    """Share, 0..1, of samples with the same top answer."""
    sqnr: float
    """Of all outputs, in dB."""
    least: float
    greatest: float
    """Of all outputs."""


Write = Callable[[Source, Recipe], Written]


@pytest.fixture
def writer(tmp_path: Path) -> Callable[[str], Write]:
    """Write a source by a recipe in a format, and run the file."""

    def of(name: str) -> Write:
        module = formats.load(name)

        def write(given: Source, recipe: Recipe) -> Written:
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}{module.suffix}"
            exported = module.export(given, recipe, target.load("raspberry-pi-5"), path)
            runner = module.load(path)
            answers, floats = (
                np.stack(each).astype(np.float64)
                for each in (
                    [runner(sample)[0] for sample in given.evaluation.inputs[:_SAMPLES]],
                    [outputs[0] for outputs in given.reference[:_SAMPLES]],
                )
            )
            noise = float(np.sum((answers - floats) ** 2))
            return Written(
                path=path,
                exported=exported,
                holds=formats.describe(path),
                agreement=float(np.mean(answers.argmax(-1) == floats.argmax(-1))),
                sqnr=10 * float(np.log10(np.sum(floats**2) / noise)) if noise else float("inf"),
                least=float(answers.min()),
                greatest=float(answers.max()),
            )

        return write

    return of


def small_rows(count: int = 24) -> list[torch.Tensor]:
    """Inputs of `small_net`, each [1, 4, 8, 8]."""
    return list(torch.randn(count, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)))


def small_net(act: type[nn.Module]) -> nn.Sequential:
    """Two convolutions and a linear layer, with an activation after each convolution."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 16, 3), act(), nn.Conv2d(16, 16, 3), act(), nn.Flatten(), nn.Linear(256, 10)
    ).eval()
