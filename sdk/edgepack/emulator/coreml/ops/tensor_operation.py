"""Tensors made, joined, parted, ordered and selected."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Given, Op, Value
from edgepack.emulator.coreml.window import flat


def argsort(given: Given) -> Tensor:
    """Indices that sort an axis; the first of equals comes first."""
    return _sorted(given, given.integer("axis"))[1].to(given.dtypes[0])


def band_part(given: Given) -> Tensor:
    """The band of each innermost matrix between `lower` and `upper` diagonals; a negative one keeps all."""
    x, lower, upper = given["x"], given.integer("lower"), given.integer("upper")
    below = torch.arange(x.shape[-2])[:, None] - torch.arange(x.shape[-1])
    kept = (below <= (lower if lower >= 0 else math.inf)) & (-below <= (upper if upper >= 0 else math.inf))
    return torch.where(kept, x, torch.zeros_like(x))


def concat(given: Given) -> Tensor:
    """Tensors joined along an axis, one after the other or interleaved; scalars become a vector."""
    values, axis = given.several("values"), given.integer("axis")
    if values[0].dim() == 0:
        return torch.stack(values)
    if not given.flag("interleave"):
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def cumsum(given: Given) -> Tensor:
    """Sums up to each element of an axis, with or without it, from the front or from the back."""
    x, axis = given["x"], given.integer("axis")
    x = x.flip(axis) if given.flag("reverse") else x
    sums = x.cumsum(axis).to(x.dtype)
    if given.flag("exclusive"):
        before = sums.narrow(axis, 0, sums.shape[axis] - 1)
        sums = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), before], axis)
    return sums.flip(axis) if given.flag("reverse") else sums


def fill(given: Given) -> Tensor:
    """One value in a shape."""
    return given["value"].expand(given.ints("shape")).clone()


def fill_like(given: Given) -> Tensor:
    """One value in another tensor's shape."""
    return given["value"].expand(given["ref_tensor"].shape).clone()


def flatten2d(given: Given) -> Tensor:
    """A matrix: what stands before an axis, and what stands from it on."""
    x, axis = given["x"], given.integer("axis")
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def identity(given: Given) -> tuple[Value]:
    """What it is given, a list too."""
    value = given.values["x"]
    assert value is not None
    return (value,)


def non_maximum_suppression(given: Given) -> tuple[Tensor, ...]:
    """Boxes of [n, B, 4] as (x, y, width, height) about centers, the best first, without those they overlap.

    Gives boxes, scores of [n, B, K], indices (-1 where none is left) and, before iOS17, how many there are;
    since iOS17 boxes and scores are [n, 4, B] and [n, K, B]. Where the threshold lets no box pass, the
    best one does.
    """
    last = given.opset >= 17
    boxes, scores = (given[name].mT if last else given[name] for name in ("boxes", "scores"))
    best, kinds = scores.max(-1)
    overlaps = _overlap(boxes) > given.number("iou_threshold")
    if given.flag("per_class_suppression"):
        overlaps &= kinds[:, :, None] == kinds[:, None]
    least = -math.inf if last else given.number("score_threshold")
    chosen = _suppressed(best, overlaps, least, given.integer("max_boxes"))
    there = (chosen >= 0)[..., None]
    found = [
        torch.where(there, x.take_along_dim(chosen.clamp(min=0)[..., None], 1), torch.zeros(()))
        for x in (boxes, scores)
    ]
    if last:
        return found[0].mT, found[1].mT, chosen.to(torch.int32)
    return *found, chosen.to(torch.int32), there.sum((1, 2)).to(torch.int32)


def non_zero(given: Given) -> Tensor:
    """Places of the elements that are not zero, [number, rank]."""
    return (given["x"] != 0).nonzero().to(torch.int32)


def one_hot(given: Given) -> Tensor:
    """`on_value` at each index along a new axis, `off_value` elsewhere, and where an index lies outside."""
    indices, axis = given["indices"].long(), given.integer("axis")
    places = torch.arange(given.integer("one_hot_vector_size"))
    hot = torch.where(indices[..., None] == places, given["on_value"], given["off_value"])
    return hot.movedim(-1, axis)


def pad(given: Given) -> Tensor:
    """The last axes padded by a value, by their edge, or by their mirror image without the edge."""
    x, amounts, mode = given["x"], given.ints("pad"), given.text("mode")
    pairs = list(zip(amounts[::2], amounts[1::2]))
    if mode == "constant":
        return functional.pad(x, flat(pairs), value=given.number("constant_val"))
    for axis, pair in enumerate(pairs, start=x.dim() - len(pairs)):
        if any(pair):
            x = x.index_select(axis, _repeated(x.shape[axis], pair, mode))
    return x


def range_1d(given: Given) -> Tensor:
    """Numbers from `start` to before `end`."""
    start, end, step = (given[name].item() for name in ("start", "end", "step"))
    return torch.arange(start, end, step, dtype=given["start"].dtype)


def shape(given: Given) -> Tensor:
    """The sizes of a tensor."""
    return torch.tensor(given["x"].shape, dtype=torch.int32)


def split(given: Given) -> tuple[Tensor, ...]:
    """Parts of an axis, of equal or of named sizes."""
    x, axis = given["x"], given.integer("axis")
    if given.has("split_sizes"):
        return torch.split(x, given.ints("split_sizes"), axis)
    return torch.tensor_split(x, given.integer("num_splits"), axis)


def stack(given: Given) -> Tensor:
    """Tensors joined along a new axis."""
    return torch.stack(given.several("values"), given.integer("axis"))


def tile(given: Given) -> Tensor:
    """Each axis repeated."""
    return given["x"].repeat(given.ints("reps"))


def topk(given: Given) -> Value:
    """The greatest or least k of an axis and, unless iOS16's `return_indices` is off, where they stand."""
    axis, k = given.integer("axis"), given.integer("k")
    size = k if k >= 0 else given["x"].shape[axis]
    values, order = (each.narrow(axis, 0, size) for each in _sorted(given, axis))
    if given.has("return_indices") and not given.flag("return_indices"):
        return values
    return values, order.to(given.dtypes[1])


def _sorted(given: Given, axis: int) -> tuple[Tensor, Tensor]:
    """An axis in order, and where its elements stood; the first of equals comes first."""
    values, order = given["x"].sort(dim=axis, descending=not given.flag("ascending"), stable=True)
    return values, order


def _overlap(boxes: Tensor) -> Tensor:
    """Intersection over union of each box with each, [n, B, B]."""
    centers, sizes = boxes.chunk(2, -1)
    low, high = centers - sizes / 2, centers + sizes / 2
    least, most = torch.maximum(low[:, :, None], low[:, None]), torch.minimum(high[:, :, None], high[:, None])
    shared = (most - least).clamp(min=0).prod(-1)
    areas = sizes.prod(-1)
    return shared / (areas[:, :, None] + areas[:, None] - shared)


def _suppressed(scores: Tensor, overlaps: Tensor, least: float, most: int) -> Tensor:
    """Indices of the boxes that stay, [n, most], the best first; -1 where there are no more."""
    left = torch.where(scores >= least, scores, -math.inf)
    none = (left == -math.inf).all(1, keepdim=True)
    left = torch.where(none & (scores == scores.amax(1, keepdim=True)), scores, left)
    chosen = []
    for _ in range(most):
        value, index = left.max(1, keepdim=True)
        chosen.append(torch.where(value > -math.inf, index, -1))
        beaten = overlaps.take_along_dim(index[..., None], 1)[:, 0]
        left = left.masked_fill(beaten, -math.inf).scatter(1, index, -math.inf)
    return torch.cat(chosen, 1)


def _repeated(size: int, pair: tuple[int, int], mode: str) -> Tensor:
    """Where each element of a padded axis is read."""
    places = torch.arange(-pair[0], size + pair[1])
    return places.clamp(0, size - 1) if mode == "replicate" else size - 1 - (size - 1 - places.abs()).abs()


OPS: Mapping[str, Op] = {
    "argsort": argsort,
    "band_part": band_part,
    "concat": concat,
    "cumsum": cumsum,
    "fill": fill,
    "fill_like": fill_like,
    "flatten2d": flatten2d,
    "identity": identity,
    "non_maximum_suppression": non_maximum_suppression,
    "non_zero": non_zero,
    "one_hot": one_hot,
    "pad": pad,
    "range_1d": range_1d,
    "shape": shape,
    "split": split,
    "stack": stack,
    "tile": tile,
    "topk": topk,
}
