"""Programs cut off behind a layer, whose answer they then give, against torch's at the same place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import source_of
from torch import Tensor, nn

from edgepack import formats, target
from edgepack.errors import BundleError
from edgepack.evaluate import localize_mismatch
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet

pytest.importorskip("executorch")

with quiet():
    from edgepack.formats.executorch.truncate import Truncator

PI_5 = target.load("raspberry-pi-5")


class _Net(nn.Module):
    """Layers of XNNPACK before and behind a running sum, which it leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.Linear(6, 5)

    def steps(self, x: Tensor) -> list[Tensor]:
        one = self.first(x).relu()
        two = self.second(one)
        three = torch.cumsum(two, 2)
        return [one, two, three, self.last(three.mean((2, 3), keepdim=True).flatten(1))]

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)[-1]


def _answers(path: Path, sample: tuple[np.ndarray, ...], out: Path) -> dict[str, np.ndarray]:
    """What the file answers behind each of its layers."""
    whole, found = Truncator(path), {}
    for layer in whole.layers:
        whole.write(layer, out)
        (found[layer.name],) = formats.load("executorch").load(out)(sample)
    return found


def test_a_cut_file_answers_what_the_layer_does(tmp_path: Path) -> None:
    net, x = _Net().eval(), torch.randn(1, 3, 8, 8)
    path = tmp_path / "net.pte"
    formats.load("executorch").export(source_of(net, [x]), Recipe("fp32"), PI_5, path)
    found = _answers(path, (x.numpy(),), tmp_path / "cut.pte")
    with torch.no_grad():
        one, two, three, last = (each.numpy() for each in net.steps(x))
    pairs = {
        "XNNConv2d #1": one.transpose(0, 2, 3, 1),
        "XNNConv2d #2": two.transpose(0, 2, 3, 1),
        "aten::cumsum #1": three,
        "XNNFullyConnected #1": last,
    }
    for name, wanted in pairs.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6)
    told = {layer.name for layer in formats.describe(path).layers}
    assert {"XNNConv2d #1", "XNNConv2d #2", "XNNFullyConnected #1"} <= told, "as inspect calls them"


@pytest.mark.parametrize("scheme", ["w8a8", "w4d"])
def test_the_last_layer_answers_as_the_whole_file(
    small_source: Source, tmp_path: Path, scheme: SchemeName
) -> None:
    path = tmp_path / "net.pte"
    formats.load("executorch").export(small_source, Recipe(scheme), PI_5, path)
    sample = small_source.evaluation.inputs[0]
    found = _answers(path, sample, tmp_path / "cut.pte")
    assert len(found) > 10
    assert all(each.std() > 0 for each in found.values())
    (whole,) = formats.load("executorch").load(path)(sample)
    step = 0.05 if scheme == "w8a8" else 0  # a code
    np.testing.assert_allclose(list(found.values())[-1], whole, rtol=0, atol=step)


def test_a_changed_layer_within_a_delegate_is_found(tmp_path: Path) -> None:
    """The file against another whose second convolution has other weights."""
    x = torch.randn(1, 3, 8, 8)
    paths = []
    for name in ("one", "other"):
        net = _Net().eval()
        if name == "other":
            nn.init.normal_(net.second.weight)
        paths.append(tmp_path / f"{name}.pte")
        formats.load("executorch").export(source_of(net, [x]), Recipe("fp32"), PI_5, paths[-1])
    one, other = (_answers(path, (x.numpy(),), tmp_path / "cut.pte") for path in paths)
    names = list(one)
    found = localize_mismatch.bisected(
        len(names), lambda number: (float(np.abs(one[names[number]] - other[names[number]]).max()), 1e-4)
    )
    assert found is not None
    assert names[found.number] == "XNNConv2d #2"


def test_branches_cannot_be_cut(tmp_path: Path) -> None:
    class Chosen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y * 2, (x,))
            return output

    with quiet():
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(Chosen(), (torch.ones(3),), strict=False)
        path = tmp_path / "net.pte"
        path.write_bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)
    with pytest.raises(BundleError, match="branches cannot be truncated"):
        Truncator(path)
