"""Equalization: the answers stay, channels come closer to each other, and boundaries are kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import graph_of, source_of
from torch import nn
from torch.fx import GraphModule, Interpreter, Node

from edgepack.compress import ptq
from edgepack.compress.calibration import Calibration
from edgepack.compress.cross_layer_equalization import equalize
from edgepack.compress.noise_sensitivity import measure
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graph
from edgepack.recipe import Recipe

PICTURES = list(torch.randn(8, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
SAMPLES = Samples(tuple((each.numpy(),) for each in PICTURES), None, "drawn")


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def _uneven(net: nn.Module) -> nn.Module:
    """Random weights, every output channel at a scale of its own, a thousandfold apart at most.

    Layers of one width have the same scales, as those of a residual stream have in training.
    """
    torch.manual_seed(0)
    for each in net.modules():
        if isinstance(each, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            rows = each.weight.shape[0]
            scale = 2.0 ** torch.randint(-5, 6, (rows,), generator=torch.Generator().manual_seed(rows))
            nn.init.normal_(each.weight, 0, 0.3)
            each.weight.data *= scale.reshape(-1, *[1] * (each.weight.dim() - 1))
            if each.bias is not None:
                nn.init.normal_(each.bias, 0, 0.1)
                each.bias.data *= scale
    return net.eval()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(n, 8, 3, padding=1) for n in (4, 8, 8))
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x) + x)
        output: torch.Tensor = self.last(x + self.third(x))
        return output


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(4, 8, 1)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(16, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.squeeze(x))
        output: torch.Tensor = self.last(torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1))
        return output


def _chain(act: type[nn.Module] = nn.ReLU) -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 8, 3), act(), nn.Conv2d(8, 8, 3), act(), nn.Conv2d(8, 3, 1))


def _depthwise() -> nn.Module:
    wide = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    return nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.ReLU(), wide, nn.ReLU(), nn.Conv2d(8, 8, 1, groups=2), nn.ReLU(),
        nn.Conv2d(8, 3, 1),
    )  # fmt: skip


def _flattened() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 8), nn.ReLU(),
        nn.Dropout(), nn.Linear(8, 3),
    )  # fmt: skip


def _pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.ReLU(inplace=True), nn.ZeroPad2d(1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


class Sound(nn.Module):
    """One-dimensional convolutions over the rows, and a linear layer over what is no channel."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(4, 8, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Linear(29, 6),
            nn.Flatten(), nn.Linear(48, 3),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.net(x.flatten(2))
        return output


class _Most(Interpreter):
    """Greatest value of each channel that a layer reads."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.of: dict[str, torch.Tensor] = {}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n.op == "call_function" and any(graph.is_layer(user) for user in n.users):
            assert isinstance(value, torch.Tensor)
            most = value.detach().abs().transpose(0, 1).flatten(1).amax(1)
            self.of[n.name] = torch.maximum(most, self.of.get(n.name, most))
        return value


def _spread(module: GraphModule) -> float:
    """Greatest factor between two channels of a tensor between layers."""
    found = _Most(module)
    for each in PICTURES:
        found.run(each)
    tensors = [most[most > 1e-6] for most in found.of.values()]
    return max(float(most.max() / most.min()) for most in tensors)


@pytest.mark.parametrize(
    ("net", "channels"),
    [(_chain(), 16), (Residual(), 8), (Joined(), 24), (_depthwise(), 24), (_flattened(), 16), (_pooled(), 8)],
    ids=["chain", "residual", "joined", "depthwise", "flattened", "pooled"],
)
def test_the_answers_stay_and_channels_come_closer(net: nn.Module, channels: int) -> None:
    _uneven(net)
    module = graph_of(net, PICTURES[0])
    before = _spread(module)
    scaled = equalize(module, measure(module, SAMPLES))
    assert channels - 2 <= scaled <= channels, "all but dead ones"
    for each in PICTURES:
        exact = net(each)
        torch.testing.assert_close(module(each), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))
    assert _spread(module) < before / 3


class Odd(nn.Module):
    """Constants that more than one operator reads, and tensors that are constants."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(8, 3, 1)
        self.register_buffer("place", torch.rand(1, 4, 8, 8))
        if kind == "tied bias":
            self.second.bias = self.first.bias
        if kind == "tied layer":
            self.second = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        constant = self.get_buffer("place")
        place = torch.relu(constant)
        if self.kind == "read weight":
            place = place * self.first.weight.sum()
        output: torch.Tensor = self.last(torch.cat([x, constant if self.kind == "constant" else place], 1))
        return output


@pytest.mark.parametrize("kind", ["tied bias", "tied layer", "read weight", "constant"])
def test_what_is_shared_or_constant_is_left_as_it_is(kind: str) -> None:
    net = _uneven(Odd(kind))
    module = graph_of(net, PICTURES[0])
    equalize(module, measure(module, SAMPLES))
    for each in PICTURES:
        exact = net(each)
        torch.testing.assert_close(module(each), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("act", [nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Sigmoid, nn.GELU, nn.Tanh])
def test_scales_do_not_pass_what_is_not_blind_to_them(act: type[nn.Module]) -> None:
    net = _uneven(_chain(act))
    module = graph_of(net, PICTURES[0])
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    assert equalize(module, measure(module, SAMPLES)) == 0
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, weights[name])


class Stream(nn.Module):
    """Linear tensors that are added up, each channel about a value of its own."""

    def __init__(self, padding: int = 0) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 3, 3, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        output: torch.Tensor = self.last(x + self.second(x))
        return output


def _offset(padding: int = 0) -> nn.Module:
    torch.manual_seed(0)
    net = Stream(padding).eval()
    for layer in (net.first, net.second):
        layer.bias.data = torch.linspace(-20, 20, 8)  # type: ignore[union-attr]
    return net


def test_channels_about_other_values_are_shifted_where_no_padding_reads_them() -> None:
    rows, naive, repaired = PICTURES, Recipe("w8a8"), Recipe("w8a8", equalize="exact")
    gained = []
    for padding in (0, 1):
        calibration = Calibration(source_of(_offset(padding), rows))
        module, _ = ptq.quantize(calibration, repaired)
        for each, exact in zip(rows, calibration.source.reference):
            torch.testing.assert_close(module(each)[0], torch.from_numpy(exact[0]), rtol=1e-3, atol=1e-3)
        gained.append(ptq.score(calibration, repaired).sqnr_db - ptq.score(calibration, naive).sqnr_db)
    assert gained[0] > 10
    assert gained[1] < gained[0] - 6, "zeros at the border would have to move along"


def test_channels_far_below_a_clamp_are_scaled_up_to_it_at_most_fourfold() -> None:
    torch.manual_seed(0)
    net = _chain(nn.ReLU6).eval()
    first = net.get_submodule("0")
    assert isinstance(first, nn.Conv2d)
    first.weight.data *= torch.tensor([0.02, 0.2, 1, 20, 0.02, 0.2, 1, 20]).reshape(-1, 1, 1, 1)
    module = graph_of(net, PICTURES[0])
    before = module.get_parameter("0.weight").clone()
    assert equalize(module, measure(module, SAMPLES)) == 0
    assert equalize(module, measure(module, SAMPLES), clamped=True) > 4
    scaled = (module.get_parameter("0.weight") / before).flatten(1).amax(1)
    assert scaled.max() <= 4 + 1e-3
    torch.testing.assert_close(scaled[[3, 7]], torch.ones(2))  # they reach the clamp
    for each in PICTURES:
        torch.testing.assert_close(module(each), net(each), rtol=1e-3, atol=1e-3)


class Fire(nn.Module):
    """A block of SqueezeNet between a stem and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(4, 32, 3, padding=1), nn.Conv2d(32, 16, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(16, 32, 1), nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.squeeze(torch.relu(self.stem(x))))
        x = torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))
        output: torch.Tensor = self.head(x.mean((2, 3)))
        return output


def _scaled(net: Fire) -> Fire:
    powers = torch.tensor(2.0 ** np.random.default_rng(0).integers(-5, 6, 16), dtype=torch.float32)
    net.squeeze.weight.data *= powers.reshape(-1, 1, 1, 1)
    net.squeeze.bias.data *= powers  # type: ignore[union-attr]
    for reader in (net.expand1x1, net.expand3x3):
        reader.weight.data /= powers.reshape(1, -1, 1, 1)
    return net


def _fire() -> Fire:
    torch.manual_seed(0)
    return Fire().eval()


def test_channels_scaled_by_powers_of_two_cost_int8_nothing_once_equalized() -> None:
    whole, uneven = (
        Calibration(source_of(_fire(), PICTURES)),
        Calibration(source_of(_scaled(_fire()), PICTURES)),
    )
    for a, b in zip(whole.source.reference, uneven.source.reference):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-4, atol=1e-5)
    naive, repaired = Recipe("w8a8"), Recipe("w8a8", equalize="exact")
    intact = ptq.score(whole, naive).sqnr_db
    assert ptq.score(uneven, naive).sqnr_db < intact - 8
    assert ptq.score(uneven, repaired).sqnr_db > intact - 0.5
    assert ptq.score(uneven, repaired).sqnr_db == pytest.approx(ptq.score(whole, repaired).sqnr_db, abs=0.5)


def test_one_dimensional_convolutions_are_scaled_and_sequences_are_not() -> None:
    net = _uneven(Sound())
    module = graph_of(net, PICTURES[0])
    assert 6 <= equalize(module, measure(module, SAMPLES)) <= 8, "the channels between the two convolutions"
    for each in PICTURES:
        exact = net(each)
        torch.testing.assert_close(module(each), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))


class Padded(nn.Module):
    """A pad of zeros between two convolutions."""

    def __init__(self, value: float | None) -> None:
        super().__init__()
        self.value = value
        self.first, self.second = nn.Conv2d(4, 8, 3), nn.Conv2d(8, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(torch.relu(self.first(x)), (1, 1, 1, 1), "constant", self.value)
        output: torch.Tensor = self.second(padded)
        return output


@pytest.mark.parametrize(("value", "scaled"), [(None, True), (0.0, True), (1.0, False)])
def test_padding_keeps_scales_where_it_adds_zeros(value: float | None, scaled: bool) -> None:
    net = _uneven(Padded(value))
    module = graph_of(net, PICTURES[0])
    assert (equalize(module, measure(module, SAMPLES)) > 0) is scaled
    for each in PICTURES:
        torch.testing.assert_close(module(each), net(each), rtol=1e-3, atol=1e-3)
