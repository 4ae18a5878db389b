"""Gather and scatter: elements at the indices of other tensors.

Negative indices count from the end (undefined in Core ML since iOS17). Indices out of bounds are an error. If
`validate_indices` of iOS17 is off they are clamped: Core ML guarantees only memory safety there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op

_REDUCE = {"add": "sum", "sub": "sum", "mul": "prod", "div": "prod", "max": "amax", "min": "amin"}


def gather(inputs: Inputs) -> Tensor:
    """Slices of x along an axis; the leading `batch_dims` axes are shared with the indices."""
    x, indices = inputs["x"], inputs["indices"]
    axis = inputs.integer("axis") % x.dim()
    batch = inputs.integer("batch_dims") if inputs.has("batch_dims") else 0
    shape = x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1 :]
    groups, between = math.prod(x.shape[:batch]), math.prod(x.shape[batch:axis])
    blocks = x.reshape(groups, between, x.shape[axis], math.prod(x.shape[axis + 1 :]))
    places = _places(inputs, indices, x.shape[axis]).reshape(groups, 1, -1)
    group = torch.arange(groups).view(-1, 1, 1)
    return blocks[group, torch.arange(between).view(1, -1, 1), places].reshape(shape)


def gather_along_axis(inputs: Inputs) -> Tensor:
    """Elements at the indices along an axis, and at their own position along all other axes."""
    x, indices, axis = inputs["x"], inputs["indices"], inputs.integer("axis")
    return x[_grid(_places(inputs, indices, x.shape[axis]), axis % x.dim())]


def gather_nd(inputs: Inputs) -> Tensor:
    """Slices at the positions in the last axis of the indices."""
    x, indices = inputs["x"], inputs["indices"]
    batch = inputs.integer("batch_dims") if inputs.has("batch_dims") else 0
    rank = indices.dim() - 1
    own = [torch.arange(x.shape[axis]).view(-1, *[1] * (rank - axis - 1)) for axis in range(batch)]
    return x[(*own, *_spelled(inputs, indices, x.shape[batch:]))]


def scatter(inputs: Inputs) -> Tensor:
    """Update slices along an axis."""
    axis = inputs.integer("axis")
    data = inputs["data"]
    places = _places(inputs, inputs["indices"], data.shape[axis])
    return _scattered(inputs, _numbered(data).index_select(axis, places))


def scatter_along_axis(inputs: Inputs) -> Tensor:
    """Update elements at the indices along an axis, and at their own position along all other axes."""
    axis = inputs.integer("axis")
    data = inputs["data"]
    places = _places(inputs, inputs["indices"], data.shape[axis])
    return _scattered(inputs, _numbered(data).gather(axis, places))


def scatter_nd(inputs: Inputs) -> Tensor:
    """Update slices at the positions in the last axis of the indices."""
    data = inputs["data"]
    return _scattered(inputs, _numbered(data)[tuple(_spelled(inputs, inputs["indices"], data.shape))])


def _scattered(inputs: Inputs, places: Tensor) -> Tensor:
    """Update flat indices of the data by the mode of the operation."""
    data, mode = inputs["data"], inputs.text("mode")
    updates, flat, where = inputs["updates"].reshape(-1), data.reshape(-1), places.reshape(-1)
    if mode == "update":
        return flat.scatter(0, where, updates).view(data.shape)
    if mode == "sub":
        updates = -updates
    if mode == "div":
        divisors = torch.ones_like(flat).scatter_reduce(0, where, updates, "prod")
        whole = None if flat.is_floating_point() else "trunc"
        return torch.div(flat, divisors, rounding_mode=whole).view(data.shape)
    return flat.scatter_reduce(0, where, updates, _REDUCE[mode]).view(data.shape)


def _numbered(data: Tensor) -> Tensor:
    """The flat index of each element."""
    return torch.arange(data.numel()).view(data.shape)


def _grid(places: Tensor, axis: int) -> tuple[Tensor, ...]:
    own = torch.meshgrid(*(torch.arange(size) for size in places.shape), indexing="ij")
    return (*own[:axis], places, *own[axis + 1 :])


def _spelled(inputs: Inputs, indices: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    return [_places(inputs, places, size) for places, size in zip(indices.unbind(-1), sizes)]


def _places(inputs: Inputs, indices: Tensor, size: int) -> Tensor:
    """Indices as int64 in [0, size). Raises IndexError for indices out of bounds, if they are checked."""
    places = indices.long()
    checked = inputs.flag("validate_indices") if inputs.has("validate_indices") else inputs.opset < 17
    if checked:
        least = -size if inputs.opset < 17 else 0
        if bool(((places < least) | (places >= size)).any()):
            raise IndexError(f"indices outside of [{least}, {size})")
    return torch.where(places < 0, places + size, places).clamp(0, max(size - 1, 0))


OPS: Mapping[str, Op] = {
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "scatter": scatter,
    "scatter_along_axis": scatter_along_axis,
    "scatter_nd": scatter_nd,
}
