"""PTQ: each result is computed once, and corrections are kept only where they help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import source_of
from sources import small_net, small_rows
from torch import nn

from edgepack import recipe as recipes
from edgepack.compress import ptq, sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.graph.layers import path_of
from edgepack.model.source import Source
from edgepack.recipe import RANGE_RULES, Recipe
from edgepack.scheme import SCHEMES


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def source(small_source: Source) -> Source:
    assert small_source.calib is not None
    return replace(small_source, calib=small_source.calib.take(range(16), "16 of them"))


@pytest.fixture(scope="module")
def calibration(source: Source) -> Calibration:
    """A calibration in which everything was computed once."""
    steps: list[str] = []
    given = Calibration(source, steps.append)
    with torch.no_grad():
        ptq.prepare(given, ptq.choose_recipe(given))
        sensitivity.analyze(given)
    assert steps[0] == "choose activation ranges and corrections by simulation"
    assert steps.count("calibrate") == 1
    assert steps[-1] == "sensitivity analysis, layer by layer"
    assert set(given.seconds) == {"calibration", "repairs", "sensitivity"}
    return given


def test_a_second_time_nothing_is_computed(calibration: Calibration) -> None:
    seconds: dict[str, float] = dict(calibration.seconds)
    told: list[str] = []
    recipe, layers = ptq.choose_recipe(calibration), sensitivity.analyze(calibration)
    ready = ptq.prepare(calibration, recipe)
    calibration.say = told.append
    assert ptq.choose_recipe(calibration) is recipe
    assert sensitivity.analyze(calibration) is layers
    assert ptq.prepare(calibration, recipe) is ready
    equal = Recipe(
        recipe.scheme, dict(recipe.layers), recipe.ranges, recipe.equalize, recipe.correct_bias, recipe.gptq
    )
    assert ptq.prepare(calibration, equal) is ready
    assert (told, calibration.seconds) == ([], seconds)


def test_what_needs_no_ranges_takes_the_source_as_it_is(calibration: Calibration) -> None:
    for scheme in ("fp32", "w8", "w4", "p8"):
        assert ptq.prepare(calibration, Recipe(scheme)) is calibration.source
    ready = ptq.prepare(calibration, Recipe("w8a8"))
    assert ready.exported is calibration.source.exported
    assert ready.ranges
    assert not calibration.source.ranges


def test_the_recipe_is_no_worse_in_simulation_than_any_single_correction(calibration: Calibration) -> None:
    """A recipe that clips ranges may score higher, if not with certainty: see `ptq.choose_ranges`."""
    chosen = ptq.score(calibration, replace(ptq.choose_recipe(calibration), layers={}))
    for rule in RANGE_RULES:
        assert chosen.ranking_db >= ptq.score(calibration, Recipe("w8a8", ranges=rule)).ranking_db - 0.2
    for equalize in ("exact", "clamped"):
        plain = Recipe("w8a8", equalize=equalize, gptq=True)
        assert chosen.ranking_db >= ptq.score(calibration, plain).ranking_db - 0.2
        clipped = ptq.score(calibration, replace(plain, ranges="least-error"))
        assert not clipped.is_certainly_above(chosen)


def test_the_source_is_left_as_it_was(calibration: Calibration, source: Source) -> None:
    row = torch.from_numpy(source.evaluation.inputs[0][0])
    np.testing.assert_allclose(
        source.exported.module()(row)[0].numpy(), source.reference[0][0], rtol=1e-4, atol=1e-4
    )
    repaired = ptq.prepare(
        calibration, Recipe("w8a8", equalize="exact", correct_bias=True)
    ).exported.module()(row)[0]
    assert not torch.equal(repaired, source.exported.module()(row)[0])


def test_equalization_is_kept_only_where_it_helps() -> None:
    assert (
        ptq.choose_recipe(Calibration(source_of(small_net(nn.Hardswish), small_rows()))).equalize == "none"
    ), "nothing to scale"
    uneven = small_net(nn.ReLU)
    powers = 2.0 ** torch.arange(-8, 8)
    uneven.get_parameter("0.weight").mul_(powers.reshape(-1, 1, 1, 1))
    uneven.get_parameter("0.bias").mul_(powers)
    uneven.get_parameter("2.weight").div_(powers.reshape(1, -1, 1, 1))
    assert ptq.choose_recipe(Calibration(source_of(uneven, small_rows()))).equalize != "none"


def test_clipping_that_gains_by_chance_is_not_taken() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(1, 3, 16, 16, generator=draw) for _ in range(80)]
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU(), nn.Flatten()
    calibration = Calibration(source_of(nn.Sequential(*layers, nn.Linear(16 * 36, 10)).eval(), rows))
    whole = Recipe("w8a8", gptq=True)
    clipped = replace(whole, ranges="least-error")
    gain = ptq.score(calibration, clipped).ranking_db - ptq.score(calibration, whole).ranking_db
    assert gain > 0.1, "on these samples, which are as like as samples can be"
    assert ptq.choose_ranges(calibration, whole) == whole


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
    return [each[:, :2] * scale for each in small_rows(16)]


def test_a_first_layer_stays_in_float_where_that_is_cheap_and_helps() -> None:
    torch.manual_seed(0)
    calibration = Calibration(source_of(Scaled(), _uneven_rows()))
    recipe = ptq.choose_recipe(calibration)
    assert recipe.layers == {"first": "fp32"}
    assert (
        ptq.score(calibration, recipe).ranking_db
        > ptq.score(calibration, replace(recipe, layers={})).ranking_db + 3
    )


def test_a_first_layer_that_is_much_of_the_model_is_int8() -> None:
    torch.manual_seed(0)
    assert ptq.choose_recipe(Calibration(source_of(Scaled(first=64, second=4), _uneven_rows()))).layers == {}


def test_a_first_layer_that_gains_little_is_int8() -> None:
    torch.manual_seed(0)
    net = Scaled()
    net.first.weight.zero_()[:2, :2] = torch.eye(2).reshape(2, 2, 1, 1)  # what it reads, and no error
    calibration = Calibration(source_of(net, [each[:, :2].abs() for each in small_rows(16)]))
    assert ptq.choose_recipe(calibration).layers == {}


MIXED = Recipe("fp32", {"blocks.4.pointwise": "w8a8"}, ranges="percentile")


def test_single_int8_layers_of_a_float_recipe_get_ranges(fashion: Source) -> None:
    calibration = Calibration(fashion)
    ready = ptq.prepare(calibration, MIXED)
    assert ready.ranges == ptq.prepare(calibration, Recipe("w8a8", ranges="percentile")).ranges
    assert ready.exported is fashion.exported


@pytest.mark.parametrize(
    ("correction", "changed"),
    [
        ({"gptq": True}, {"blocks.4.pointwise"}),
        ({"correct_bias": True}, {"blocks.4.pointwise"}),
        ({"equalize": "exact"}, None),
    ],
)
def test_single_int8_layers_of_a_float_recipe_get_corrections(
    fashion: Source, correction: dict[str, Any], changed: set[str] | None
) -> None:
    ready = ptq.prepare(Calibration(fashion), replace(MIXED, **correction))
    before = fashion.exported.state_dict
    differ = {
        path_of(name)
        for name, value in ready.exported.state_dict.items()
        if not torch.equal(value, before[name])
    }
    assert differ
    assert changed is None or differ == changed


def test_a_scheme_with_16_bit_activations_follows_its_bits(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(SCHEMES["w8a8"], name="w8a16", activation_bits=16)
    monkeypatch.setattr(recipes, "SCHEMES", {**SCHEMES, "w8a16": wide})
    calibration = Calibration(source)
    reached = ptq.score(calibration, Recipe("w8a16"))
    assert reached.ranking_db > ptq.score(calibration, Recipe("w8a8")).ranking_db + 3
    weights_only = ptq.score(calibration, Recipe("w8a16", ranges="least-error"))
    assert weights_only.ranking_db == pytest.approx(reached.ranking_db, abs=0.5)
