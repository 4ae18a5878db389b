"""Elements taken from, or put to, places that other tensors name.

Negative places count from the end (since iOS17 Core ML leaves that undefined); what lies outside is an
error, unless iOS17's `validate_indices` is off: then the nearest place stands in, as Core ML promises
nothing but memory safety there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Given, Op

_REDUCE = {"add": "sum", "sub": "sum", "mul": "prod", "div": "prod", "max": "amax", "min": "amin"}


def gather(given: Given) -> Tensor:
    """Slices of x along an axis; the leading `batch_dims` axes are shared with the indices."""
    x, indices = given["x"], given["indices"]
    axis = given.integer("axis") % x.dim()
    batch = given.integer("batch_dims") if given.has("batch_dims") else 0
    shape = x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1 :]
    groups, between = math.prod(x.shape[:batch]), math.prod(x.shape[batch:axis])
    blocks = x.reshape(groups, between, x.shape[axis], math.prod(x.shape[axis + 1 :]))
    places = _places(given, indices, x.shape[axis]).reshape(groups, 1, -1)
    group = torch.arange(groups).view(-1, 1, 1)
    return blocks[group, torch.arange(between).view(1, -1, 1), places].reshape(shape)


def gather_along_axis(given: Given) -> Tensor:
    """x at the indices along an axis, and at the element's own place along all others."""
    x, indices, axis = given["x"], given["indices"], given.integer("axis")
    return x[_grid(_places(given, indices, x.shape[axis]), axis % x.dim())]


def gather_nd(given: Given) -> Tensor:
    """x at the places that the last axis of the indices spells out, axis by axis."""
    x, indices = given["x"], given["indices"]
    batch = given.integer("batch_dims") if given.has("batch_dims") else 0
    rank = indices.dim() - 1
    own = [torch.arange(x.shape[axis]).view(-1, *[1] * (rank - axis - 1)) for axis in range(batch)]
    return x[(*own, *_spelled(given, indices, x.shape[batch:]))]


def scatter(given: Given) -> Tensor:
    """Slices put to an axis."""
    axis = given.integer("axis")
    data = given["data"]
    places = _places(given, given["indices"], data.shape[axis])
    return _scattered(given, _numbered(data).index_select(axis, places))


def scatter_along_axis(given: Given) -> Tensor:
    """Elements put to the indices along an axis, and to their own place along all others."""
    axis = given.integer("axis")
    data = given["data"]
    places = _places(given, given["indices"], data.shape[axis])
    return _scattered(given, _numbered(data).gather(axis, places))


def scatter_nd(given: Given) -> Tensor:
    """Slices put to the places that the last axis of the indices spells out, axis by axis."""
    data = given["data"]
    return _scattered(given, _numbered(data)[tuple(_spelled(given, given["indices"], data.shape))])


def _scattered(given: Given, places: Tensor) -> Tensor:
    """Updates put to numbered places of the data, by the op's mode."""
    data, mode = given["data"], given.text("mode")
    updates, flat, where = given["updates"].reshape(-1), data.reshape(-1), places.reshape(-1)
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
    """The place of each element in memory."""
    return torch.arange(data.numel()).view(data.shape)


def _grid(places: Tensor, axis: int) -> tuple[Tensor, ...]:
    own = torch.meshgrid(*(torch.arange(size) for size in places.shape), indexing="ij")
    return (*own[:axis], places, *own[axis + 1 :])


def _spelled(given: Given, indices: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    return [_places(given, places, size) for places, size in zip(indices.unbind(-1), sizes)]


def _places(given: Given, indices: Tensor, size: int) -> Tensor:
    """Indices as int64 within [0, size). Raises IndexError for what lies outside and may not."""
    places = indices.long()
    checked = given.flag("validate_indices") if given.has("validate_indices") else given.opset < 17
    if checked:
        least = -size if given.opset < 17 else 0
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
