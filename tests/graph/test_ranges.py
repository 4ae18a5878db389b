"""Activation ranges: what is seen of known data, and the ranges that follow from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import graph_of
from numpy.typing import NDArray
from torch import nn

from edgepack.contract.samples import Samples
from edgepack.graph import ranges
from edgepack.graph.ranges import Histogram

DRAW = np.random.default_rng(0)


def _seen(values: NDArray[np.floating]) -> Histogram:
    counts, _ = np.histogram(values, 2048, (values.min(), values.max()))
    return Histogram(float(values.min()), float(values.max()), counts.astype(np.float64))


UNIFORM = _seen(DRAW.uniform(0, 1, 1_000_000))
NORMAL = _seen(DRAW.standard_normal(1_000_000))
OUTLIER = _seen(np.append(DRAW.standard_normal(100_000), 60.0))


def test_all_samples_are_seen_in_the_bounds_of_all() -> None:
    rows = [torch.full((1, 1, 2, 2), float(n)) for n in (-3, 1, 5)]
    samples = Samples(tuple((each.numpy(),) for each in rows), None, "here")
    found = ranges.observe(graph_of(nn.ReLU(), rows[0]), samples, lambda node: node.op != "output")
    assert set(found) == {"input_1", "relu"}
    given, positive = found["input_1"], found["relu"]
    assert (given.low, given.high, positive.low, positive.high) == (-3, 5, 0, 5)
    assert given.counts.sum() == positive.counts.sum() == 12
    assert given.counts[0] == 4
    assert positive.counts[0] == 4
    assert given.counts[-1] == positive.counts[-1] == 4
    assert len(given.counts) == len(given.centres) == 2048


def test_only_wanted_float_tensors_are_seen() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (x > 0).float() + x.argmax()

    row = torch.randn(1, 8)
    samples = Samples(((row.numpy(),),), None, "here")
    graph = graph_of(Net(), row)
    found = ranges.observe(graph, samples, lambda node: node.op == "call_function")
    kinds = {node.name: node.meta["val"].dtype for node in graph.graph.nodes if node.name in found}
    assert kinds
    assert set(kinds.values()) == {torch.float32}
    assert "x" not in found


def test_min_max_is_all_that_was_seen() -> None:
    assert ranges.min_max(OUTLIER) == (OUTLIER.low, 60.0)


def test_a_percentile_cuts_both_ends_of_both_signs_and_one_of_one() -> None:
    low, high = ranges.percentile(NORMAL, 99.0)
    assert low == pytest.approx(-2.326, abs=0.02)
    assert high == pytest.approx(2.326, abs=0.02)
    low, high = ranges.percentile(UNIFORM, 99.0)
    assert low == UNIFORM.low
    assert high == pytest.approx(0.99, abs=0.002)
    assert ranges.percentile(OUTLIER, 99.99)[1] < 6
    assert ranges.percentile(UNIFORM, 100.0) == pytest.approx((UNIFORM.low, UNIFORM.high))


def test_least_error_clips_an_outlier_and_keeps_what_is_evenly_spread() -> None:
    low, high = ranges.least_error(OUTLIER)
    assert high < 55
    assert ranges.squared_error(OUTLIER, (low, high)) < ranges.squared_error(OUTLIER, (OUTLIER.low, 60.0))
    low, high = ranges.least_error(UNIFORM)
    assert (low, high) == pytest.approx((0, 1), abs=0.03)


@pytest.mark.parametrize("seen", [UNIFORM, NORMAL, OUTLIER, _seen(-np.abs(DRAW.standard_normal(10_000)))])
def test_no_rule_does_better_than_least_error(seen: Histogram) -> None:
    best = ranges.squared_error(seen, ranges.least_error(seen))
    assert best <= ranges.squared_error(seen, ranges.min_max(seen))
    for percent in (99.9, 99.99, 99.999):
        assert best <= 1.1 * ranges.squared_error(seen, ranges.percentile(seen, percent))


def test_the_error_of_an_even_spread_is_a_twelfth_of_the_step_squared() -> None:
    for high in (1.0, 2.0):
        assert ranges.squared_error(UNIFORM, (0, high)) == pytest.approx((high / 255) ** 2 / 12, rel=0.02)


def test_what_is_clipped_counts_with_all_its_distance() -> None:
    far = Histogram(0.0, 10.0, np.eye(1, 2048, 2047)[0])
    assert ranges.squared_error(far, (0, 8)) == pytest.approx((far.centres[-1] - 8) ** 2)


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0])
def test_a_tensor_of_one_value_has_a_range(value: float) -> None:
    one = Histogram(value, value, np.eye(1, 2048, 0)[0])
    for found in (ranges.min_max(one), ranges.least_error(one), ranges.percentile(one, 99.999)):
        assert ranges.squared_error(one, found) < 1e-3


def test_infinity_is_left_out_as_masks_of_attention_hold_it() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + torch.full((3, 3), -torch.inf).triu(1)).softmax(-1)

    row = torch.arange(9.0).reshape(1, 3, 3)
    samples = Samples(((row.numpy(),),), None, "here")
    found = ranges.observe(graph_of(Masked(), row), samples, lambda node: True)
    assert (found["add"].low, found["add"].high) == (0, 8)
    assert found["add"].counts.sum() == 6
    assert not [name for name in found if name.startswith("full")]
