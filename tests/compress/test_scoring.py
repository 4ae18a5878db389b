"""Scores of simulated outputs: limits, and which gains are certain."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from conftest import source_of
from sources import small_net, small_rows
from torch import nn

from edgepack.compress import ptq, scoring
from edgepack.compress.calibration import Calibration
from edgepack.compress.scoring import Score
from edgepack.recipe import Recipe


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    ("gains", "sure"),
    [((0.2, 0.3) * 16, True), ((4.0, -3.0) * 16, False), ((-0.2, -0.3) * 16, False), ((0.0,) * 32, False)],
)
def test_a_gain_is_sure_beyond_chance(gains: tuple[float, ...], sure: bool) -> None:
    scores = [Score(0.0, 0.0, 0.0, tuple(20.0 + each for each in told)) for told in (gains, (0.0,) * 32)]
    assert scores[0].is_certainly_above(scores[1]) is sure


def test_what_answers_nan_or_nothing_scores_worst() -> None:
    net = small_net(nn.ReLU)
    calibration = Calibration(source_of(net, small_rows(2), classes=True))
    exact = ptq.score(calibration, Recipe("fp32"))
    assert (exact.sqnr_db, exact.ranking_db, exact.agreement) == (math.inf, math.inf, 100)
    broken = copy.deepcopy(net)
    broken.get_parameter("0.bias")[0] = math.nan
    module = source_of(broken, small_rows(2)).exported.module()
    found = scoring.score_recipe(calibration, module, Recipe("fp32"), {})
    assert found.sqnr_db == found.ranking_db == -math.inf
