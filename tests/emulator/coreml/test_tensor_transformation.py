"""Tensors in another shape or order in the evaluator, and slices of them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from single_op import Constants, agree, computed, drawn, same
from torch.nn import functional


@pytest.mark.parametrize("block", [2, 3])
def test_blocks_of_the_channels(block: int) -> None:
    x = drawn(2, block * block * 2, 3, 2)
    slow = x.reshape(2, block, block, 2, 3, 2).transpose(0, 3, 4, 1, 5, 2).reshape(2, 2, 3 * block, 2 * block)
    same(computed("depth_to_space", {"x": x}, block_size=block)[0], slow)
    same(computed("space_to_depth", {"x": slow}, block_size=block)[0], x)
    torch_s = functional.pixel_shuffle(torch.from_numpy(x), block)
    same(computed("pixel_shuffle", {"x": x}, upscale_factor=block)[0], torch_s)
    same(computed("pixel_unshuffle", {"x": torch_s.numpy()}, 16, downscale_factor=np.uint32(block))[0], x)


def test_blocks_of_the_batch_make_a_dilated_conv_of_a_plain_one() -> None:
    x, weight = drawn(1, 2, 8, 6), drawn(3, 2, 3, 3, seed=1)
    parts = computed("space_to_batch", {"x": x}, block_shape=[2, 2], paddings=[[2, 2], [2, 2]])[0]
    assert parts.shape == (4, 2, 6, 5)
    read = functional.conv2d(torch.from_numpy(parts), torch.from_numpy(weight)).numpy()
    whole = computed("batch_to_space", {"x": read}, block_shape=[2, 2], crops=[[0, 0], [0, 0]])[0]
    padded = functional.pad(torch.from_numpy(x), (2, 2, 2, 2))
    same(whole, functional.conv2d(padded, torch.from_numpy(weight), dilation=2), 1e-4)
    cropped = computed("batch_to_space", {"x": read}, block_shape=[2, 2], crops=[[1, 2], [0, 1]])[0]
    same(cropped, whole[:, :, 1:-2, :-1])


@pytest.mark.parametrize("axes", [[0], [-1], [0, 1], [1, -1], [-4, 2]])
def test_expand_dims(axes: list[int]) -> None:
    agree("expand_dims", {"x": drawn(2, 3)}, axes=axes)


@pytest.mark.parametrize("shape", [[4, 6], [-1], [2, -1, 2], [0, 12], [0, 0, 3, -1]])
def test_reshape(shape: list[int]) -> None:
    x = drawn(2, 12) if len(shape) < 4 else drawn(2, 4, 3, 1)
    agree("reshape", {"x": x}, shape=shape)


def test_reshape_of_ios17_counts_zeros_from_the_last_axis() -> None:
    x = drawn(2, 50)
    same(computed("reshape", {"x": x}, 17, shape=[1, 0, -1, 0])[0], x.reshape(1, 1, 2, 50))


def test_reshape_like() -> None:
    x = drawn(30, 6)
    like = [drawn(2, 3, 4), drawn(1, 5, 6)]
    masks = {"begins": [0, 1], "ends": [2, 0], "end_masks": [False, True]}
    same(computed("reshape_like", {"x": x, "ref_tensors": like}, 16, **masks)[0], x.reshape(2, 3, 5, 6))


@pytest.mark.parametrize("axes", [[0], [-1, 1], [0, 1, 2]])
def test_reverse(axes: list[int]) -> None:
    agree("reverse", {"x": drawn(2, 3, 4)}, axes=axes)
    same(computed("reverse", {"x": drawn(2, 3, 4)})[0], np.flip(drawn(2, 3, 4)))


@pytest.mark.parametrize(("batch", "seq"), [(0, 1), (1, 0), (1, 2), (-1, 0)])
def test_reverse_sequence(batch: int, seq: int) -> None:
    x = drawn(3, 3, 3)
    lengths = np.array([0, 2, 3], np.int32)
    front = np.moveaxis(x.copy(), (batch, seq), (0, 1))
    for row, length in zip(front, lengths):
        row[:length] = row[:length][::-1].copy()
    ours = computed("reverse_sequence", {"x": x, "lengths": lengths}, batch_axis=batch, seq_axis=seq)
    same(ours[0], np.moveaxis(front, (0, 1), (batch, seq)))


_Axis: TypeAlias = tuple[int, int, int, bool, bool]
_AXIS = st.tuples(
    st.integers(-6, 6), st.integers(-7, 7), st.sampled_from([1, 2, -1, -2]), st.booleans(), st.booleans()
)
"""Begin, end, stride, and whether begin and end are free."""


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_AXIS, _AXIS, st.booleans())
def test_slices(first: _Axis, second: _Axis, single: bool) -> None:
    x, taken = drawn(5, 6), []
    constants: Constants = {}
    for (begin, end, step, free_begin, free_end), size in zip((first, second), x.shape):
        taken.append(slice(None if free_begin else begin, None if free_end else end, step))
        assume(len(range(*taken[-1].indices(size))) > 0)
        # coremltools' builder clamps an end before the first element to 0, which excludes that element
        assume(free_end or step > 0 or end >= -size)
    for number, name in enumerate(("begin", "end", "stride", "begin_mask", "end_mask")):
        constants[name] = np.array([first[number], second[number]], bool if number > 2 else np.int32)
    if single:
        assume(-5 <= first[0] < 5)
        constants["squeeze_mask"] = np.array([True, False])
    at: int | slice = (0 if first[3] else first[0]) if single else taken[0]
    same(computed("slice_by_index", {"x": x}, **constants)[0], x[at, taken[1]])
    expected, update = x.copy(), drawn(*x[at, taken[1]].shape, seed=1)
    expected[at, taken[1]] = update
    same(computed("slice_update", {"x": x, "update": update}, 18, **constants)[0], expected)


@pytest.mark.parametrize(("begin", "size"), [([0, 1], [2, 3]), ([1, -2], [-1, 2]), ([0, 0], [-1, -1])])
def test_slice_by_size(begin: list[int], size: list[int]) -> None:
    agree("slice_by_size", {"x": drawn(3, 5)}, begin=np.array(begin, np.int32), size=np.array(size, np.int32))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sliding_windows(axis: int) -> None:
    x = drawn(6, 7, 8)
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis).take(
        range(0, x.shape[axis] - 2, 2), axis % 3
    )
    expected = np.moveaxis(windows, -1, axis % 3 + 1)
    same(computed("sliding_windows", {"x": x}, axis=axis, size=3, stride=2)[0], expected)


@pytest.mark.parametrize(
    ("axes", "shape"), [(None, (2, 3)), ([0], (2, 1, 3)), ([-2, 0], (2, 3)), ([1, 2], (1, 2, 3))]
)
def test_squeeze_leaves_axes_that_are_longer(axes: list[int] | None, shape: tuple[int, ...]) -> None:
    constants: Constants = {} if axes is None else {"axes": axes}
    same(computed("squeeze", {"x": drawn(1, 2, 1, 3)}, **constants)[0], drawn(1, 2, 1, 3).reshape(shape))


@pytest.mark.parametrize("perm", [[2, 0, 1], [-1, -2, -3], [0, 1, 2]])
def test_transpose(perm: list[int]) -> None:
    for x in (drawn(2, 3, 4), drawn(2, 3, 4) > 0):
        agree("transpose", {"x": x}, perm=perm)
