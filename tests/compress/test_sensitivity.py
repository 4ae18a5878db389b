"""Sensitivity analysis: the layers that cost most come first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from conftest import source_of
from sources import small_net, small_rows
from torch import nn

from edgepack.compress import sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.recipe import Recipe


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_damage_is_told_of_the_layer_that_does_it() -> None:
    net = small_net(nn.ReLU)
    net.get_parameter("0.weight").div_(300)  # what it gives is drowned by what its bias gives to one channel
    net.get_parameter("0.bias").zero_()[0] = 30
    net.get_parameter("2.weight")[:, 0] = 0
    net.get_parameter("5.weight").mul_(300)
    calibration = Calibration(source_of(net, small_rows()))
    calibration.once(("recipe", "w8a8"), lambda: Recipe("w8a8"))
    worst, *others = sensitivity.analyze(calibration)
    assert {worst.path, others[0].path} == {"0", "2"}, "the one that gives, the one that reads"
    assert worst.sqnr_db < others[1].sqnr_db - 6
    assert others[1].path == "5"
    assert {each.path: each.bytes_saved for each in (worst, *others)} == {
        "0": 3 * 16 * 4 * 9,
        "2": 3 * 16 * 16 * 9,
        "5": 3 * 10 * 256,
    }
