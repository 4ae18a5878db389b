"""Reshaping, reordering and slicing of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op
from edgepack.emulator.coreml.window import flat


def batch_to_space(inputs: Inputs) -> Tensor:
    """Move the batch [n × blocks, C, H, W] into blocks of pixels, then crop; as in TensorFlow."""
    x, (high, wide) = inputs["x"], inputs.ints("block_shape")
    _, channels, height, width = x.shape
    parts = x.reshape(high, wide, -1, channels, height, width).permute(2, 3, 4, 0, 5, 1)
    whole = parts.reshape(-1, channels, height * high, width * wide)
    top, bottom, left, right = inputs.ints("crops")
    return whole[..., top : whole.shape[-2] - bottom, left : whole.shape[-1] - right]


def depth_to_space(inputs: Inputs) -> Tensor:
    """Move channels into blocks of pixels; the position in the block is the slowest part of the channels."""
    x, block = inputs["x"], inputs.integer("block_size")
    n, channels, height, width = x.shape
    parts = x.reshape(n, block, block, -1, height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, channels // block**2, height * block, width * block)


def expand_dims(inputs: Inputs) -> Tensor:
    """Insert axes of size 1; `axes` are positions in the result."""
    x, axes = inputs["x"], inputs.ints("axes")
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def pixel_shuffle(inputs: Inputs) -> Tensor:
    """Move channels into blocks of pixels, as in torch."""
    return functional.pixel_shuffle(inputs["x"], inputs.integer("upscale_factor"))


def pixel_unshuffle(inputs: Inputs) -> Tensor:
    """Move blocks of pixels into channels, as in torch."""
    return functional.pixel_unshuffle(inputs["x"], inputs.integer("downscale_factor"))


def reshape(inputs: Inputs) -> Tensor:
    """Reshape. -1 is inferred; 0 is the size of the axis of x, counted from the last, or 1 without one."""
    x, sizes = inputs["x"], inputs.ints("shape")
    lead = len(sizes) - x.dim()
    own = [1] * lead + list(x.shape[max(-lead, 0) :])
    return x.reshape([size or inherited for size, inherited in zip(sizes, own)])


def reshape_like(inputs: Inputs) -> Tensor:
    """Reshape to concatenated parts of the shapes of other tensors."""
    parts = zip(
        inputs.several("ref_tensors"),
        map(int, inputs.several("begins")),
        map(int, inputs.several("ends")),
        map(bool, inputs.several("end_masks")),
    )
    sizes = [size for x, begin, end, rest in parts for size in x.shape[begin : None if rest else end]]
    return inputs["x"].reshape(sizes)


def reverse(inputs: Inputs) -> Tensor:
    """Reverse `axes`, or all axes."""
    x = inputs["x"]
    return x.flip(inputs.ints("axes") if inputs.has("axes") else list(range(x.dim())))


def reverse_sequence(inputs: Inputs) -> Tensor:
    """Reverse the first `lengths[i]` elements of each sequence."""
    x, lengths = inputs["x"], inputs["lengths"].long()[:, None]
    axes = inputs.integer("batch_axis"), inputs.integer("seq_axis")
    front = x.movedim(axes, (0, 1))
    steps = torch.arange(front.shape[1])
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return front[torch.arange(front.shape[0])[:, None], turned].movedim((0, 1), axes)


def slice_by_index(inputs: Inputs) -> Tensor:
    """x[begin:end:stride] on each axis, as in NumPy.

    Masks ignore a bound, or select one element and remove the axis.
    """
    return _sliced(inputs["x"], inputs)


def slice_by_size(inputs: Inputs) -> Tensor:
    """Slices from `begin` of `size`; a size of -1 is the rest."""
    x = inputs["x"]
    for axis, (begin, size) in enumerate(zip(inputs.ints("begin"), inputs.ints("size"))):
        begin %= x.shape[axis] or 1
        x = x.narrow(axis, begin, x.shape[axis] - begin if size == -1 else size)
    return x


def slice_update(inputs: Inputs) -> Tensor:
    """A copy of x with a slice replaced."""
    x = inputs["x"].contiguous()
    places = _sliced(torch.arange(x.numel()).view(x.shape), inputs)
    result = x.clone().view(-1)
    result[places.reshape(-1)] = inputs["update"].reshape(-1)
    return result.view(x.shape)


def sliding_windows(inputs: Inputs) -> Tensor:
    """All windows of an axis; their elements are on a new axis after it."""
    x = inputs["x"]
    axis = inputs.integer("axis") % x.dim()
    return x.unfold(axis, inputs.integer("size"), inputs.integer("stride")).movedim(-1, axis + 1)


def space_to_batch(inputs: Inputs) -> Tensor:
    """Pad, then move blocks of pixels into the batch, [n × blocks, C, H, W]; as in TensorFlow."""
    (high, wide), paddings = inputs.ints("block_shape"), inputs.ints("paddings")
    x = functional.pad(inputs["x"], flat(zip(paddings[::2], paddings[1::2])))
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // high, high, width // wide, wide).permute(3, 5, 0, 1, 2, 4)
    return parts.reshape(n * high * wide, channels, height // high, width // wide)


def space_to_depth(inputs: Inputs) -> Tensor:
    """Move blocks of pixels into channels; the position in the block is the slowest part of the channels."""
    x, block = inputs["x"], inputs.integer("block_size")
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, channels * block**2, height // block, width // block)


def squeeze(inputs: Inputs) -> Tensor:
    """Remove `axes`, or all axes of size 1."""
    return inputs["x"].squeeze(inputs.ints("axes")) if inputs.has("axes") else inputs["x"].squeeze()


def transpose(inputs: Inputs) -> Tensor:
    """Permute the axes."""
    return inputs["x"].permute(inputs.ints("perm"))


def _sliced(x: Tensor, inputs: Inputs) -> Tensor:
    rank = x.dim()
    masks = ("begin_mask", "end_mask", "squeeze_mask")
    free_begin, free_end, single = (inputs.ints(name) if inputs.has(name) else [0] * rank for name in masks)
    strides = inputs.ints("stride") if inputs.has("stride") else [1] * rank
    for axis, (begin, end) in enumerate(zip(inputs.ints("begin"), inputs.ints("end"))):
        first = None if free_begin[axis] else begin
        if single[axis]:
            x = x.narrow(axis, (first or 0) % x.shape[axis], 1)
        else:
            x = _stepped(x, axis, slice(first, None if free_end[axis] else end, strides[axis]))
    return x.squeeze([axis for axis in range(rank) if single[axis]]) if any(single) else x


def _stepped(x: Tensor, axis: int, part: slice) -> Tensor:
    """A slice of an axis as in NumPy; torch has no negative steps."""
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
