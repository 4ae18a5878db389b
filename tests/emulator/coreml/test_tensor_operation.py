"""Tensors made, joined, parted, ordered and selected in the evaluator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Constants, agree, computed, drawn, same

from edgepack.emulator.coreml.operation import Inputs
from edgepack.emulator.coreml.ops import tensor_operation


def _mixed(*shape: int) -> np.ndarray:
    """Whole numbers in an order of their own."""
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(np.int32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("make", [drawn, _mixed])
def test_order(axis: int, ascending: bool, make: Callable[..., np.ndarray]) -> None:
    x = make(3, 4, 5)
    agree("argsort", {"x": x}, axis=axis, ascending=ascending)
    for k in (1, 3):
        agree("topk", {"x": x}, k=k, axis=axis, ascending=ascending)
    agree("topk", {"x": x}, 16, k=2, axis=axis, ascending=ascending, return_indices=False)
    values, places = computed("topk", {"x": x}, 17, k=3, axis=axis, output_indices_dtype="uint16")
    same(values, -np.sort(-x, axis).take(range(3), axis))
    same(np.take_along_axis(x, places.astype(int), axis), values)


@pytest.mark.parametrize(("lower", "upper"), [(0, -1), (-1, 0), (0, 0), (1, 2), (-1, -1), (2, 0)])
def test_band_part(lower: int, upper: int) -> None:
    agree("band_part", {"x": drawn(2, 4, 5)}, lower=lower, upper=upper)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joining(axis: int) -> None:
    values = [drawn(2, 3, 4), drawn(2, 3, 4, seed=1), drawn(2, 3, 4, seed=2)]
    same(computed("concat", {"values": values}, axis=axis)[0], np.concatenate(values, axis))
    same(computed("stack", {"values": values}, axis=axis)[0], np.stack(values, axis))
    woven = np.stack(values, axis % 3 + 1).reshape(np.concatenate(values, axis).shape)
    same(computed("concat", {"values": values}, axis=axis, interleave=True)[0], woven)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_cumsum(axis: int, exclusive: bool, reverse: bool) -> None:
    for x in (drawn(3, 4, 5), _mixed(3, 4, 5)):
        turned = np.flip(x, axis) if reverse else x
        sums = np.cumsum(turned, axis) - (turned if exclusive else 0)
        expected = np.flip(sums, axis) if reverse else sums
        same(computed("cumsum", {"x": x}, axis=axis, exclusive=exclusive, reverse=reverse)[0], expected)


def test_filling() -> None:
    same(computed("fill", {"shape": np.array([2, 3], np.int32)}, value=np.int32(7))[0], np.full((2, 3), 7))
    same(
        computed("fill_like", {"ref_tensor": drawn(2, 3)}, 16, value=np.float32(0.5))[0], np.full((2, 3), 0.5)
    )


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_shapes(axis: int) -> None:
    x = drawn(2, 3, 4)
    agree("flatten2d", {"x": x}, axis=axis)
    agree("shape", {"x": x})
    agree("identity", {"x": x})


@pytest.mark.parametrize("x", [drawn(3, 4) > 0, _mixed(2, 3) % 2, np.zeros((2, 2), np.float32)])
def test_non_zero(x: np.ndarray) -> None:
    same(computed("non_zero", {"x": x})[0], np.argwhere(x))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_has_nothing_where_the_index_lies_outside(axis: int) -> None:
    indices = np.array([[0, 2, 9], [1, -1, 3]], np.int32)
    expected = np.where(indices[..., None] == np.arange(4), 5.0, -1.0)
    constants: Constants = {
        "one_hot_vector_size": 4,
        "axis": axis,
        "on_value": np.float32(5),
        "off_value": np.float32(-1),
    }
    same(computed("one_hot", {"indices": indices}, **constants)[0], np.moveaxis(expected, -1, axis))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.sampled_from(["constant", "reflect", "replicate"]),
    st.integers(1, 3).flatmap(lambda n: st.lists(st.integers(0, 2), min_size=2 * n, max_size=2 * n)),
)
def test_pad(mode: str, pad: list[int]) -> None:
    agree("pad", {"x": drawn(3, 4, 5)}, pad=np.array(pad, np.int32), mode=mode, constant_val=np.float32(1.5))


@pytest.mark.parametrize(("start", "end", "step"), [(0, 7, 2), (5, 0, -2), (1, 1, 1), (0.5, 2.0, 0.25)])
def test_range_1d(start: float, end: float, step: float) -> None:
    kind = np.int32 if isinstance(step, int) else np.float32
    numbers = {"start": kind(start), "end": kind(end), "step": kind(step)}
    ours = tensor_operation.range_1d(Inputs({name: torch.tensor(each) for name, each in numbers.items()}))
    same(ours.numpy(), np.arange(start, end, step).astype(kind))


def test_parting() -> None:
    x = drawn(2, 6, 3)
    for ours, expected in zip(
        computed("split", {"x": x}, num_splits=3, axis=-2), np.split(x, 3, 1), strict=True
    ):
        same(ours, expected)
    parts = computed("split", {"x": x}, split_sizes=[1, 3, 2], axis=1)
    for ours, expected in zip(parts, np.split(x, [1, 4], 1), strict=True):
        same(ours, expected)


@pytest.mark.parametrize("reps", [[1, 2, 3], [2, 1, 1]])
def test_tile(reps: list[int]) -> None:
    agree("tile", {"x": drawn(2, 3, 2)}, reps=np.array(reps, np.int32))


def _kept(
    boxes: np.ndarray, scores: np.ndarray, overlap: float, least: float, most: int, apart: bool
) -> list[int]:
    """Greedy suppression, box by box."""
    best, kinds = scores.max(1), scores.argmax(1)
    kept: list[int] = []
    for at in np.argsort(-best):
        rivals = [each for each in kept if not apart or kinds[each] == kinds[at]]
        if best[at] >= least and all(_overlap(boxes[at], boxes[each]) <= overlap for each in rivals):
            kept.append(int(at))
    return kept[:most] or [int(best.argmax())]


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    low = np.maximum(one[:2] - one[2:] / 2, other[:2] - other[2:] / 2)
    high = np.minimum(one[:2] + one[2:] / 2, other[:2] + other[2:] / 2)
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / float(np.prod(one[2:]) + np.prod(other[2:]) - shared)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("overlap", "least"), [(0.2, 0.0), (0.5, 0.6), (0.1, 99.0), (0.9, -99.0)])
def test_non_maximum_suppression(apart: bool, overlap: float, least: float) -> None:
    boxes = np.random.default_rng(0).uniform(1, 6, (2, 12, 4)).astype(np.float32)
    scores = drawn(2, 12, 3)
    constants: Constants = {
        "iou_threshold": np.float32(overlap),
        "max_boxes": 5,
        "per_class_suppression": apart,
    }
    early = computed(
        "non_maximum_suppression",
        {"boxes": boxes, "scores": scores},
        score_threshold=np.float32(least),
        **constants,
    )
    for item in range(2):
        kept = _kept(boxes[item], scores[item], overlap, least, 5, apart)
        empty = 5 - len(kept)
        assert early[2][item].tolist() == kept + [-1] * empty
        assert early[3][item] == len(kept)
        same(early[0][item], np.pad(boxes[item][kept], ((0, empty), (0, 0))))
        same(early[1][item], np.pad(scores[item][kept], ((0, empty), (0, 0))))
    late = {"boxes": boxes.transpose(0, 2, 1).copy(), "scores": scores.transpose(0, 2, 1).copy()}
    ours = computed("non_maximum_suppression", late, 17, **constants)
    assert ours[0].shape == (2, 4, 5)
    for item in range(2):
        kept = _kept(boxes[item], scores[item], overlap, -np.inf, 5, apart)
        assert ours[2][item].tolist() == kept + [-1] * (5 - len(kept))
