"""Tensors in another shape or order, and slices of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op
from edgepack.emulator.coreml.window import flat


def batch_to_space(given: Given) -> Tensor:
    """Blocks of pixels gathered from the batch, [n × blocks, C, H, W], then cropped; as in TensorFlow."""
    x, (high, wide) = given["x"], given.ints("block_shape")
    _, channels, height, width = x.shape
    parts = x.reshape(high, wide, -1, channels, height, width).permute(2, 3, 4, 0, 5, 1)
    whole = parts.reshape(-1, channels, height * high, width * wide)
    top, bottom, left, right = given.ints("crops")
    return whole[..., top : whole.shape[-2] - bottom, left : whole.shape[-1] - right]


def depth_to_space(given: Given) -> Tensor:
    """Blocks of pixels gathered from the channels, whose slowest part is the place in the block."""
    x, block = given["x"], given.integer("block_size")
    n, channels, height, width = x.shape
    parts = x.reshape(n, block, block, -1, height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, channels // block**2, height * block, width * block)


def expand_dims(given: Given) -> Tensor:
    """Axes of size 1 put in where the result shall have them."""
    x, axes = given["x"], given.ints("axes")
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def pixel_shuffle(given: Given) -> Tensor:
    """Blocks of pixels gathered from the channels, as in torch."""
    return functional.pixel_shuffle(given["x"], given.integer("upscale_factor"))


def pixel_unshuffle(given: Given) -> Tensor:
    """Blocks of pixels spread over the channels, as in torch."""
    return functional.pixel_unshuffle(given["x"], given.integer("downscale_factor"))


def reshape(given: Given) -> Tensor:
    """A new shape; -1 is what remains, 0 is x's size, counted from the last axis, or 1 before its first."""
    x, sizes = given["x"], given.ints("shape")
    lead = len(sizes) - x.dim()
    own = [1] * lead + list(x.shape[max(-lead, 0) :])
    return x.reshape([size or inherited for size, inherited in zip(sizes, own)])


def reshape_like(given: Given) -> Tensor:
    """A shape put together from parts of other tensors' shapes."""
    parts = zip(
        given.several("ref_tensors"),
        map(int, given.several("begins")),
        map(int, given.several("ends")),
        map(bool, given.several("end_masks")),
    )
    sizes = [size for x, begin, end, rest in parts for size in x.shape[begin : None if rest else end]]
    return given["x"].reshape(sizes)


def reverse(given: Given) -> Tensor:
    """Axes, or all of them, the other way round."""
    x = given["x"]
    return x.flip(given.ints("axes") if given.has("axes") else list(range(x.dim())))


def reverse_sequence(given: Given) -> Tensor:
    """The first `lengths[i]` elements of each sequence the other way round."""
    x, lengths = given["x"], given["lengths"].long()[:, None]
    axes = given.integer("batch_axis"), given.integer("seq_axis")
    front = x.movedim(axes, (0, 1))
    steps = torch.arange(front.shape[1])
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return front[torch.arange(front.shape[0])[:, None], turned].movedim((0, 1), axes)


def slice_by_index(given: Given) -> Tensor:
    """NumPy's x[begin:end:stride] on each axis; masks free an end, or take one element and drop the axis."""
    return _sliced(given["x"], given)


def slice_by_size(given: Given) -> Tensor:
    """Parts of a size from a begin; a size of -1 takes the rest."""
    x = given["x"]
    for axis, (begin, size) in enumerate(zip(given.ints("begin"), given.ints("size"))):
        begin %= x.shape[axis] or 1
        x = x.narrow(axis, begin, x.shape[axis] - begin if size == -1 else size)
    return x


def slice_update(given: Given) -> Tensor:
    """A copy of x with the slice replaced."""
    x = given["x"].contiguous()
    places = _sliced(torch.arange(x.numel()).view(x.shape), given)
    result = x.clone().view(-1)
    result[places.reshape(-1)] = given["update"].reshape(-1)
    return result.view(x.shape)


def sliding_windows(given: Given) -> Tensor:
    """All windows of an axis, their elements on a new axis behind it."""
    x = given["x"]
    axis = given.integer("axis") % x.dim()
    return x.unfold(axis, given.integer("size"), given.integer("stride")).movedim(-1, axis + 1)


def space_to_batch(given: Given) -> Tensor:
    """Blocks of pixels, padded, spread over the batch, [n × blocks, C, H, W]; as in TensorFlow."""
    (high, wide), paddings = given.ints("block_shape"), given.ints("paddings")
    x = functional.pad(given["x"], flat(zip(paddings[::2], paddings[1::2])))
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // high, high, width // wide, wide).permute(3, 5, 0, 1, 2, 4)
    return parts.reshape(n * high * wide, channels, height // high, width // wide)


def space_to_depth(given: Given) -> Tensor:
    """Blocks of pixels spread over the channels, whose slowest part is the place in the block."""
    x, block = given["x"], given.integer("block_size")
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, channels * block**2, height // block, width // block)


def squeeze(given: Given) -> Tensor:
    """Axes of size 1, named or all, taken away."""
    return given["x"].squeeze(given.ints("axes")) if given.has("axes") else given["x"].squeeze()


def transpose(given: Given) -> Tensor:
    """Axes in another order."""
    return given["x"].permute(given.ints("perm"))


def _sliced(x: Tensor, given: Given) -> Tensor:
    rank = x.dim()
    masks = ("begin_mask", "end_mask", "squeeze_mask")
    free_begin, free_end, single = (given.ints(name) if given.has(name) else [0] * rank for name in masks)
    strides = given.ints("stride") if given.has("stride") else [1] * rank
    for axis, (begin, end) in enumerate(zip(given.ints("begin"), given.ints("end"))):
        first = None if free_begin[axis] else begin
        if single[axis]:
            x = x.narrow(axis, (first or 0) % x.shape[axis], 1)
        else:
            x = _stepped(x, axis, slice(first, None if free_end[axis] else end, strides[axis]))
    return x.squeeze([axis for axis in range(rank) if single[axis]]) if any(single) else x


def _stepped(x: Tensor, axis: int, part: slice) -> Tensor:
    """NumPy's slice of an axis; torch has none that steps backwards."""
    bounds = part.indices(x.shape[axis])
    if bounds[2] < 0:
        return x.index_select(axis, torch.tensor(range(*bounds), dtype=torch.long))
    return x[(*[slice(None)] * axis, slice(*bounds))]


OPS: Mapping[str, Op] = {
    "batch_to_space": batch_to_space,
    "depth_to_space": depth_to_space,
    "expand_dims": expand_dims,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "reshape": reshape,
    "reshape_like": reshape_like,
    "reverse": reverse,
    "reverse_sequence": reverse_sequence,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "slice_update": slice_update,
    "sliding_windows": sliding_windows,
    "space_to_batch": space_to_batch,
    "space_to_depth": space_to_depth,
    "squeeze": squeeze,
    "transpose": transpose,
}
