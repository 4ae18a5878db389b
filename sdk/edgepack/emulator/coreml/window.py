"""The sliding window of convolutions and pools, over the axes after batch and channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgepack.emulator.coreml.operation import Inputs

Pairs = list[tuple[int, int]]
"""Padding before and after each axis."""


def pads(inputs: Inputs, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> Pairs:
    """Padding by `pad_type`: valid, custom, same (an odd element is at the end) or same_lower (at the start).

    `sizes` are those of the input, `extents` those of the dilated kernel. With `same` the output has
    ceil(size / stride) elements, like SAME in TensorFlow.
    """
    kind = inputs.text("pad_type").lower()
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        flat = inputs.ints("pad")
        return list(zip(flat[::2], flat[1::2]))
    totals = [
        max(0, -(-size // stride) * stride - size + extent - stride)
        for size, extent, stride in zip(sizes, extents, strides)
    ]
    low = [(total - total // 2, total // 2) for total in totals]
    return low if kind == "same_lower" else [(behind, front) for front, behind in low]


def extent(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Sizes of a dilated kernel."""
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations)]


def flat(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Padding in the order of `torch.nn.functional.pad`: the last axis first."""
    return [size for pair in reversed(list(pairs)) for size in pair]
