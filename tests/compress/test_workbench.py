"""The workbench: each piece found out once, and repairs kept only where they help."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import source_of
from torch import nn

from edgepack.compress import workbench
from edgepack.compress.workbench import Score, Workbench
from edgepack.model.source import Source
from edgepack.recipe import RANGE_RULES, Recipe


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def source(small_source: Source) -> Source:
    assert small_source.calib is not None
    return replace(small_source, calib=small_source.calib.take(range(16), "16 of them"))


@pytest.fixture(scope="module")
def bench(source: Source) -> Workbench:
    """A bench on which all has been done once."""
    told: list[str] = []
    found = Workbench(source, told.append)
    with torch.no_grad():
        found.ready(found.recipe())
        found.sensitivity()
    assert told[0] == "choose ranges and repairs by simulation"
    assert told.count("calibrate") == 1
    assert told[-1] == "sensitivity, layer by layer"
    assert set(found.seconds) == {"calibration", "repairs", "sensitivity"}
    return found


def test_a_second_time_nothing_is_computed(bench: Workbench) -> None:
    seconds, told = dict(bench.seconds), []
    recipe, damages, ready = bench.recipe(), bench.sensitivity(), bench.ready(bench.recipe())
    bench.say = told.append
    assert bench.recipe() is recipe
    assert bench.sensitivity() is damages
    assert bench.ready(recipe) is ready
    assert bench.ready(Recipe(recipe.scheme, dict(recipe.layers), recipe.ranges, recipe.equalize,
                              recipe.correct_bias, recipe.gptq)) is ready  # fmt: skip
    assert (told, bench.seconds) == ([], seconds)


def test_what_needs_no_ranges_takes_the_source_as_it_is(bench: Workbench) -> None:
    for scheme in ("fp32", "w8", "w4", "p8"):
        assert bench.ready(Recipe(scheme)) is bench.source
    ready = bench.ready(Recipe("w8a8"))
    assert ready.exported is bench.source.exported
    assert ready.ranges
    assert not bench.source.ranges


def test_the_recipe_is_no_worse_in_simulation_than_any_single_repair(bench: Workbench) -> None:
    reached = bench.score(replace(bench.recipe(), layers={})).order_db
    for rule in RANGE_RULES:
        assert reached >= bench.score(Recipe("w8a8", ranges=rule)).order_db - 0.2
    for equalize in ("exact", "clamped"):
        plain = Recipe("w8a8", ranges="least-error", equalize=equalize, gptq=True)
        assert reached >= bench.score(plain).order_db - 0.2


def test_the_source_is_left_as_it_was(bench: Workbench, source: Source) -> None:
    row = torch.from_numpy(source.evaluation.inputs[0][0])
    np.testing.assert_allclose(
        source.exported.module()(row)[0].numpy(), source.reference[0][0], rtol=1e-4, atol=1e-4
    )
    repaired = bench.ready(Recipe("w8a8", equalize="exact", correct_bias=True)).exported.module()(row)[0]
    assert not torch.equal(repaired, source.exported.module()(row)[0])


def _rows(count: int = 24) -> list[torch.Tensor]:
    return list(torch.randn(count, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)))


def _net(act: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 16, 3), act(), nn.Conv2d(16, 16, 3), act(), nn.Flatten(), nn.Linear(256, 10)
    ).eval()


def test_equalization_is_kept_only_where_it_helps() -> None:
    assert Workbench(source_of(_net(nn.Hardswish), _rows())).recipe().equalize == "none", "nothing to scale"
    uneven = _net(nn.ReLU)
    powers = 2.0 ** torch.arange(-8, 8)
    uneven[0].weight.mul_(powers.reshape(-1, 1, 1, 1))
    uneven[0].bias.mul_(powers)
    uneven[2].weight.div_(powers.reshape(1, -1, 1, 1))
    assert Workbench(source_of(uneven, _rows())).recipe().equalize != "none"


def test_clipping_that_gains_by_chance_is_not_taken() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(1, 3, 16, 16, generator=draw) for _ in range(80)]
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU(), nn.Flatten()
    bench = Workbench(source_of(nn.Sequential(*layers, nn.Linear(16 * 36, 10)).eval(), rows))
    whole = Recipe("w8a8", gptq=True)
    clipped = replace(whole, ranges="least-error")
    gain = bench.score(clipped).order_db - bench.score(whole).order_db
    assert gain > 0.5, "on these samples, which are as like as samples can be"
    assert bench._clipped(whole) == whole


@pytest.mark.parametrize(
    ("gains", "sure"),
    [((0.2, 0.3) * 16, True), ((4.0, -3.0) * 16, False), ((-0.2, -0.3) * 16, False), ((0.0,) * 32, False)],
)
def test_a_gain_is_sure_beyond_chance(gains: tuple[float, ...], sure: bool) -> None:
    scores = [Score(0.0, 0.0, 0.0, tuple(20.0 + each for each in told)) for told in (gains, (0.0,) * 32)]
    assert workbench._gains_surely(*scores) is sure


def test_damage_is_told_of_the_layer_that_does_it() -> None:
    net = _net(nn.ReLU)
    net[0].weight.div_(300)  # what it gives is drowned by what its bias gives to one channel
    net[0].bias.zero_()[0] = 30
    net[2].weight[:, 0] = 0
    net[5].weight.mul_(300)
    bench = Workbench(source_of(net, _rows()))
    bench._best = Recipe("w8a8")
    worst, *others = bench.sensitivity()
    assert {worst.path, others[0].path} == {"0", "2"}, "the one that gives, the one that reads"
    assert worst.sqnr_db < others[1].sqnr_db - 6
    assert others[1].path == "5"
    assert {each.path: each.bytes_saved for each in (worst, *others)} == {
        "0": 3 * 16 * 4 * 9,
        "2": 3 * 16 * 16 * 9,
        "5": 3 * 10 * 256,
    }


def test_costs_are_those_of_arithmetic(source: Source) -> None:
    found = workbench.costs(source)
    assert list(found)[:2] == ["stem", "blocks.0.depthwise"]
    assert (found["stem"].values, found["stem"].multiply_adds) == (144, 144 * 784)
    assert (found["blocks.0.depthwise"].values, found["blocks.0.depthwise"].multiply_adds) == (144, 144 * 196)
    assert found["blocks.0.pointwise"].multiply_adds == 16 * 32 * 196
    assert (found["classifier"].values, found["classifier"].multiply_adds) == (1280, 1280)
    up = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2)).eval()
    assert workbench.costs(source_of(up, _rows(1)))["0"].multiply_adds == 4 * 6 * 2 * 2 * 8 * 8


def test_calibration_samples_beyond_the_most_are_left(source: Source) -> None:
    assert source.calib is not None
    many = source.calib.take([0] * (workbench.MOST + 1), "many")
    assert len(Workbench(replace(source, calib=many)).calib) == workbench.MOST
    assert Workbench(source).calib is source.calib


def test_what_answers_nan_or_nothing_scores_worst() -> None:
    net = _net(nn.ReLU)
    bench = Workbench(source_of(net, _rows(2), classes=True))
    exact = bench.score(Recipe("fp32"))
    assert (exact.sqnr_db, exact.order_db, exact.agreement) == (math.inf, math.inf, 100)
    broken = copy.deepcopy(net)
    broken[0].bias[0] = math.nan
    module = source_of(broken, _rows(2)).exported.module()
    found = bench.scored(module, Recipe("fp32"), {})
    assert found.sqnr_db == found.order_db == -math.inf


class Scaled(nn.Module):
    """Reads one channel that is a thousand times the other, and uses both alike."""

    def __init__(self, first: int = 8, second: int = 256) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, first, 1), nn.Conv2d(first, second, 3)
        self.third, self.last = nn.Conv2d(second, 64, 1), nn.Linear(64, 8)
        self.first.weight[:, 1] *= 1e-3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.third(torch.relu(self.second(torch.relu(self.first(x))))))
        output: torch.Tensor = self.last(x.mean((2, 3)))
        return output


def _uneven_rows() -> list[torch.Tensor]:
    scale = torch.tensor([1.0, 1e3]).reshape(1, 2, 1, 1)
    return [each[:, :2] * scale for each in _rows(16)]


def test_a_first_layer_stays_in_float_where_that_is_cheap_and_helps() -> None:
    torch.manual_seed(0)
    bench = Workbench(source_of(Scaled(), _uneven_rows()))
    recipe = bench.recipe()
    assert recipe.layers == {"first": "fp32"}
    assert bench.score(recipe).order_db > bench.score(replace(recipe, layers={})).order_db + 3


def test_a_first_layer_that_is_much_of_the_model_is_int8() -> None:
    torch.manual_seed(0)
    assert Workbench(source_of(Scaled(first=64, second=4), _uneven_rows())).recipe().layers == {}


def test_a_first_layer_that_gains_little_is_int8() -> None:
    torch.manual_seed(0)
    net = Scaled()
    net.first.weight.zero_()[:2, :2] = torch.eye(2).reshape(2, 2, 1, 1)  # what it reads, and no error
    bench = Workbench(source_of(net, [each[:, :2].abs() for each in _rows(16)]))
    assert bench.recipe().layers == {}
