"""Creation, concatenation, splitting, sorting and selection of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgepack.emulator.coreml.operation import Inputs, Op, Value
from edgepack.emulator.coreml.window import flat


def argsort(inputs: Inputs) -> Tensor:
    """Indices that sort an axis; the sort is stable."""
    return _sorted(inputs, inputs.integer("axis"))[1].to(inputs.dtypes[0])


def band_part(inputs: Inputs) -> Tensor:
    """The band of the innermost matrices with `lower` and `upper` diagonals; negative numbers keep all."""
    x, lower, upper = inputs["x"], inputs.integer("lower"), inputs.integer("upper")
    below = torch.arange(x.shape[-2])[:, None] - torch.arange(x.shape[-1])
    kept = (below <= (lower if lower >= 0 else math.inf)) & (-below <= (upper if upper >= 0 else math.inf))
    return torch.where(kept, x, torch.zeros_like(x))


def concat(inputs: Inputs) -> Tensor:
    """Concatenate tensors along an axis, optionally interleaved; scalars become a vector."""
    values, axis = inputs.several("values"), inputs.integer("axis")
    if values[0].dim() == 0:
        return torch.stack(values)
    if not inputs.flag("interleave"):
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def cumsum(inputs: Inputs) -> Tensor:
    """Sums up to each element of an axis, with or without it, from the front or from the back."""
    x, axis = inputs["x"], inputs.integer("axis")
    x = x.flip(axis) if inputs.flag("reverse") else x
    sums = x.cumsum(axis).to(x.dtype)
    if inputs.flag("exclusive"):
        before = sums.narrow(axis, 0, sums.shape[axis] - 1)
        sums = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), before], axis)
    return sums.flip(axis) if inputs.flag("reverse") else sums


def fill(inputs: Inputs) -> Tensor:
    """A tensor of one value."""
    return inputs["value"].expand(inputs.ints("shape")).clone()


def fill_like(inputs: Inputs) -> Tensor:
    """A tensor of one value, with the shape of another tensor."""
    return inputs["value"].expand(inputs["ref_tensor"].shape).clone()


def flatten2d(inputs: Inputs) -> Tensor:
    """A matrix: the axes before `axis`, and those from it on, are flattened."""
    x, axis = inputs["x"], inputs.integer("axis")
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def identity(inputs: Inputs) -> tuple[Value]:
    """The input, which may be a list."""
    value = inputs.values["x"]
    assert value is not None
    return (value,)


def non_maximum_suppression(inputs: Inputs) -> tuple[Tensor, ...]:
    """Sort boxes by score, and drop those that overlap a better one.

    Boxes are [n, B, 4], with center x, center y, width and height; scores are [n, B, K]. Since iOS17 both
    are transposed: [n, 4, B] and [n, K, B]. Outputs are boxes, scores, indices (-1 after the last box) and,
    before iOS17, the number of boxes. If no score reaches the threshold, the best box is kept.
    """
    last = inputs.opset >= 17
    boxes, scores = (inputs[name].mT if last else inputs[name] for name in ("boxes", "scores"))
    best, kinds = scores.max(-1)
    overlaps = _overlap(boxes) > inputs.number("iou_threshold")
    if inputs.flag("per_class_suppression"):
        overlaps &= kinds[:, :, None] == kinds[:, None]
    least = -math.inf if last else inputs.number("score_threshold")
    chosen = _suppressed(best, overlaps, least, inputs.integer("max_boxes"))
    there = (chosen >= 0)[..., None]
    found = [
        torch.where(there, x.take_along_dim(chosen.clamp(min=0)[..., None], 1), torch.zeros(()))
        for x in (boxes, scores)
    ]
    if last:
        return found[0].mT, found[1].mT, chosen.to(torch.int32)
    return *found, chosen.to(torch.int32), there.sum((1, 2)).to(torch.int32)


def non_zero(inputs: Inputs) -> Tensor:
    """Indices of the elements that are not zero, [number, rank]."""
    return (inputs["x"] != 0).nonzero().to(torch.int32)


def one_hot(inputs: Inputs) -> Tensor:
    """`on_value` at each index along a new axis, `off_value` elsewhere; indices may be out of bounds."""
    indices, axis = inputs["indices"].long(), inputs.integer("axis")
    places = torch.arange(inputs.integer("one_hot_vector_size"))
    hot = torch.where(indices[..., None] == places, inputs["on_value"], inputs["off_value"])
    return hot.movedim(-1, axis)


def pad(inputs: Inputs) -> Tensor:
    """Pad the last axes with a constant, with their edge, or with their reflection without the edge."""
    x, amounts, mode = inputs["x"], inputs.ints("pad"), inputs.text("mode")
    pairs = list(zip(amounts[::2], amounts[1::2]))
    if mode == "constant":
        return functional.pad(x, flat(pairs), value=inputs.number("constant_val"))
    for axis, pair in enumerate(pairs, start=x.dim() - len(pairs)):
        if any(pair):
            x = x.index_select(axis, _repeated(x.shape[axis], pair, mode))
    return x


def range_1d(inputs: Inputs) -> Tensor:
    """Numbers from `start` up to `end`, exclusive."""
    start, end, step = (inputs[name].item() for name in ("start", "end", "step"))
    return torch.arange(start, end, step, dtype=inputs["start"].dtype)


def shape(inputs: Inputs) -> Tensor:
    """The sizes of a tensor."""
    return torch.tensor(inputs["x"].shape, dtype=torch.int32)


def split(inputs: Inputs) -> tuple[Tensor, ...]:
    """Split an axis into equal parts or into `split_sizes`."""
    x, axis = inputs["x"], inputs.integer("axis")
    if inputs.has("split_sizes"):
        return torch.split(x, inputs.ints("split_sizes"), axis)
    return torch.tensor_split(x, inputs.integer("num_splits"), axis)


def stack(inputs: Inputs) -> Tensor:
    """Stack tensors along a new axis."""
    return torch.stack(inputs.several("values"), inputs.integer("axis"))


def tile(inputs: Inputs) -> Tensor:
    """Repeat each axis."""
    return inputs["x"].repeat(inputs.ints("reps"))


def topk(inputs: Inputs) -> Value:
    """The k largest or smallest elements of an axis and, unless `return_indices` is off, their indices."""
    axis, k = inputs.integer("axis"), inputs.integer("k")
    size = k if k >= 0 else inputs["x"].shape[axis]
    values, order = (result.narrow(axis, 0, size) for result in _sorted(inputs, axis))
    if inputs.has("return_indices") and not inputs.flag("return_indices"):
        return values
    return values, order.to(inputs.dtypes[1])


def _sorted(inputs: Inputs, axis: int) -> tuple[Tensor, Tensor]:
    """The sorted axis and the indices of its elements, by a stable sort."""
    values, order = inputs["x"].sort(dim=axis, descending=not inputs.flag("ascending"), stable=True)
    return values, order


def _overlap(boxes: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes, [n, B, B]."""
    centers, sizes = boxes.chunk(2, -1)
    low, high = centers - sizes / 2, centers + sizes / 2
    least, most = torch.maximum(low[:, :, None], low[:, None]), torch.minimum(high[:, :, None], high[:, None])
    shared = (most - least).clamp(min=0).prod(-1)
    areas = sizes.prod(-1)
    return shared / (areas[:, :, None] + areas[:, None] - shared)


def _suppressed(scores: Tensor, overlaps: Tensor, least: float, most: int) -> Tensor:
    """Indices of the kept boxes, [n, most], by score; -1 after the last."""
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
    """The source index of each element of a padded axis."""
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
