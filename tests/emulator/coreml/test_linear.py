"""Products of matrices in the evaluator against coremltools' value inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from single_op import agree, computed, drawn, same

Make: TypeAlias = Callable[..., np.ndarray]


def _whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-5, 5, shape).astype(np.int32)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("make", [drawn, _whole])
def test_linear(shape: tuple[int, ...], make: Make) -> None:
    agree("linear", {"x": make(*shape)}, weight=make(5, 4, seed=1), bias=make(5, seed=2))
    agree("linear", {"x": make(*shape)}, weight=make(5, 4, seed=1))


@pytest.mark.parametrize(
    ("first", "second", "turned"),
    [
        ((3, 4), (4, 2), (False, False)),
        ((10, 4, 3), (5, 10, 3, 2), (False, False)),
        ((2, 1, 4, 3), (5, 4, 2), (True, False)),
        ((4, 3), (2, 3), (False, True)),
        ((5, 4, 3), (5, 2, 4), (True, True)),
        ((3, 4), (4, 1), (False, False)),
    ],
)
@pytest.mark.parametrize("make", [drawn, _whole])
def test_matmul(
    first: tuple[int, ...], second: tuple[int, ...], turned: tuple[bool, bool], make: Make
) -> None:
    inputs = {"x": make(*first), "y": make(*second, seed=1)}
    agree("matmul", inputs, transpose_x=turned[0], transpose_y=turned[1])


def test_matmul_of_a_vector() -> None:
    inputs = {"x": drawn(4), "y": drawn(10, 4, 3, seed=1)}
    same(computed("matmul", inputs)[0], np.matmul(*inputs.values()))


@pytest.mark.parametrize(
    ("equation", "first", "second"),
    [
        ("nchw,nwhu->nchu", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("nchw,nwhu->nchu", (1, 3, 4, 5), (2, 5, 1, 6)),
        ("abcd,adce->abce", (2, 3, 1, 5), (1, 5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 1, 6)),
    ],
)
def test_einsum_broadcasts_its_batch(equation: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    ours = computed("einsum", {"values": [drawn(*first), drawn(*second, seed=1)]}, equation=equation)
    expected = np.einsum("...chw,...whu->...chu", drawn(*first), drawn(*second, seed=1), optimize=False)
    same(ours[0], expected)
