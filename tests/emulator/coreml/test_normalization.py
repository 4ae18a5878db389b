"""Normalizations in the evaluator against torch and coremltools' value inference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from single_op import Constants, agree, computed, drawn, same
from torch.nn import functional

GAMMA, BETA = drawn(3, seed=1), drawn(3, seed=2)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 3, 4)])
@pytest.mark.parametrize("scaled", [True, False])
def test_batch_norm(shape: tuple[int, ...], scaled: bool) -> None:
    x, mean, variance = drawn(*shape), drawn(3, seed=3), np.abs(drawn(3, seed=4)) + 0.1
    scaling: Constants = {"gamma": GAMMA, "beta": BETA} if scaled else {}
    tall = (3, *[1] * (x.ndim - 2))
    expected = (x - mean.reshape(tall)) / np.sqrt(variance.reshape(tall) + 0.01)
    expected = expected * GAMMA.reshape(tall) + BETA.reshape(tall) if scaled else expected
    ours = computed("batch_norm", {"x": x}, mean=mean, variance=variance, epsilon=np.float32(0.01), **scaling)
    same(ours[0], expected)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
def test_instance_norm(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    expected = functional.instance_norm(
        torch.from_numpy(x), weight=torch.from_numpy(GAMMA), bias=torch.from_numpy(BETA)
    )
    same(computed("instance_norm", {"x": x}, gamma=GAMMA, beta=BETA)[0], expected)


@pytest.mark.parametrize("axes", [[-1], [2, 3], [-2, -1], [1], [0, 2], [3, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("scaled", [True, False])
def test_layer_norm_over_any_axes(axes: list[int], scaled: bool) -> None:
    x = drawn(2, 3, 4, 5)
    own = [x.shape[axis] for axis in sorted(axis % 4 for axis in axes)]
    scaling: Constants = {"gamma": drawn(*own, seed=1), "beta": drawn(*own, seed=2)} if scaled else {}
    agree("layer_norm", {"x": x}, epsilon=np.float32(1e-3), axes=axes, **scaling)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (2, 2, 3, 1, 4)])
def test_l2_norm_of_the_last_three_axes(shape: tuple[int, ...]) -> None:
    agree("l2_norm", {"x": drawn(*shape)}, epsilon=np.float32(0.1))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_local_response_norm(size: int) -> None:
    x = drawn(2, 6, 4, 4)
    constants: Constants = {
        "size": size,
        "alpha": np.float32(0.5),
        "beta": np.float32(0.6),
        "k": np.float32(1.5),
    }
    expected = functional.local_response_norm(torch.from_numpy(x), size, 0.5, 0.6, 1.5)
    same(computed("local_response_norm", {"x": x}, **constants)[0], expected)
