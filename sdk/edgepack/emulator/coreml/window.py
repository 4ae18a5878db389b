"""The window that convolutions and pools move over the axes behind batch and channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgepack.emulator.coreml.operation import Given

Pairs = list[tuple[int, int]]
"""Elements before and after each axis."""


def pads(given: Given, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> Pairs:
    """Padding by `pad_type`: valid, custom, same (the odd element behind), same_lower (in front).

    sizes: of the input; extents: of the kernel with its dilation. Same gives ceil(size / stride) outputs,
    as TensorFlow's SAME does.
    """
    kind = given.text("pad_type").lower()
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        flat = given.ints("pad")
        return list(zip(flat[::2], flat[1::2]))
    totals = [
        max(0, -(-size // stride) * stride - size + extent - stride)
        for size, extent, stride in zip(sizes, extents, strides)
    ]
    low = [(total - total // 2, total // 2) for total in totals]
    return low if kind == "same_lower" else [(behind, front) for front, behind in low]


def extent(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Elements that a kernel spans along each axis."""
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations)]


def flat(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Pairs in the order that `torch.nn.functional.pad` takes: the last axis first."""
    return [each for pair in reversed(list(pairs)) for each in pair]
