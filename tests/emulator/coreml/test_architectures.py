"""Every torchvision classifier through edgepack's Core ML format and the evaluator, against torch.

Weights are random and seeded, batch norms calibrated on seeded inputs. A deep net with random weights
magnifies the last bit: torch in fp32 is then itself far from torch in float64, and the limit follows that
distance. `pytest -m slow tests/emulator/coreml/test_architectures.py` tests them all: half an hour on one
core and 8.4 GB for the largest (645 million weights);
`python tests/emulator/coreml/test_architectures.py [NAME...]` writes the table of the docs, ARCHITECTURES.md
beside the evaluator: all rows, or those of the nets named.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgepack import formats, target
from edgepack.contract import Contract, Output, TensorInput
from edgepack.contract.samples import Samples
from edgepack.model import torchvision
from edgepack.model.capture import captured
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.silence import quiet

with quiet():
    from edgepack.emulator import coreml

    MODELS = torchvision._models()
NAMES = MODELS.list_models(module=MODELS)
TABLE = Path(coreml.__file__).with_name("ARCHITECTURES.md")
HEAD = """\
# Architectures evaluated as ML Programs

torchvision's classifiers with random weights and calibrated batch normalization, written as fp32 ML Programs
by edgepack's Core ML format and run by the evaluator. Each difference is the largest one, relative to the
largest output. `edge` is the width and height of the input. Printed by
`python tests/emulator/coreml/test_architectures.py`.

| architecture | edge | evaluator to torch fp32 | torch fp32 to float64 |
|---|---|---|---|
"""
CALIB = 8
EDGES = {"inception_v3": 299, "maxvit_t": 224, "vit_h_14": 224}
"""Edges of nets that take no other; all others but the ViTs take 96."""
FLOOR, TIMES, CEILING = 1e-4, 4, 1e-2
"""Least limit, the limit over torch's own error, and the greatest limit."""


@dataclass(frozen=True)
class Differences:
    """Worst differences over the greatest answer."""

    ours: float
    """The evaluator's from torch fp32."""
    own: float
    """Torch fp32's from float64."""

    @property
    def limit(self) -> float:
        """What `ours` may be."""
        return min(max(FLOOR, TIMES * self.own), CEILING)


class _Tuple(nn.Module):
    """A net that answers with a tuple, as edgepack captures them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.model(x),)


def _edge(name: str) -> int:
    return EDGES.get(name, 224 if name.startswith("vit") else 96)


def _settled(name: str) -> tuple[nn.Module, Tensor]:
    """The net with statistics of its own activations, and one picture."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    model = MODELS.get_model(name, weights=None, **options)
    edge = _edge(name)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if isinstance(layer, nn.Linear) and not layer.weight.any():  # a ViT's head
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        if hasattr(layer, "layer_scale"):  # ConvNeXt's 1e-6 would leave each block without effect
            layer.layer_scale.data.fill_(0.5)
    with torch.no_grad():
        model.train()(torch.randn(CALIB, 3, edge, edge))
    return model.eval(), torch.randn(1, 3, edge, edge)


def _source(name: str, model: nn.Module, picture: Tensor) -> Source:
    contract = Contract(
        inputs=(TensorInput(kind="tensor", name="x", shape=tuple(picture.shape)),),
        outputs=(Output(name="scores"),),
    )
    exported = captured(_Tuple(model), (picture,))
    samples = Samples(((picture.numpy(),),), None, "seeded")
    return Source(name, exported, exported, contract, None, samples, ())


def _evaluated(name: str, model: nn.Module, picture: Tensor, folder: Path) -> np.ndarray[Any, Any]:
    """What the evaluator answers for the net's package."""
    coreml, path = formats.load("coreml"), folder / f"{name}.mlpackage"
    coreml.export(_source(name, model, picture), Recipe("fp32"), target.load("iphone-15"), path)
    gc.collect()
    (answer,) = coreml.load(path)((picture.numpy(),))
    return answer


def _differences(name: str, folder: Path) -> Differences:
    """Fails where the answers tell nothing."""
    torch.set_num_threads(1)
    model, picture = _settled(name)
    with torch.no_grad():
        expected, other = model(picture).numpy(), model(picture.flip(-1) * 0.7 + 0.1).numpy()
    greatest = np.abs(expected).max()
    assert np.isfinite(expected).all()
    assert expected.std() > 1e-3
    assert np.abs(expected - other).max() > 1e-2 * greatest  # the picture has a say
    ours = _evaluated(name, model, picture, folder)
    with torch.no_grad():
        exact = model.double()(picture.double()).numpy()
    return Differences(np.abs(ours - expected).max() / greatest, np.abs(expected - exact).max() / greatest)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_architecture(name: str, tmp_path: Path) -> None:
    found = _differences(name, tmp_path)
    gc.collect()
    assert found.ours < found.limit


def _write(names: list[str]) -> None:
    """Bring the rows of `names` up to date, each as it is found."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    rows = {line.split()[1]: line for line in lines if line.startswith("| ")}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = _differences(name, Path(folder))
        rows[name] = f"| {name} | {_edge(name)} | {found.ours:.1e} | {found.own:.1e} |"
        TABLE.write_text(HEAD + "".join(f"{rows[each]}\n" for each in NAMES if each in rows))
        print(rows[name], "" if found.ours < found.limit else "over the limit", flush=True)
        gc.collect()


if __name__ == "__main__":
    _write(sys.argv[1:] or NAMES)
