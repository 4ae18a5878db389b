"""Pictures in another size, cut out, or read at coordinates: x of [*, H, W]."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Given, Op

_Resized = Callable[[Tensor, int, int, str], Tensor]
"""An axis in another size, by a sampling mode."""


def affine(given: Given) -> Tensor:
    """The picture under a matrix of [a0, a1, a2, b0, b1, b2] on coordinates from -1 to 1."""
    across = torch.linspace(-1, 1, given.integer("output_width"))
    down = torch.linspace(-1, 1, given.integer("output_height"))[:, None]
    a0, a1, a2, b0, b1, b2 = given["transform_matrix"][:, :, None, None].unbind(1)
    places = torch.stack([a0 * across + a1 * down + a2, b0 * across + b1 * down + b2], -1)
    return _resampled(given, places.expand(given["x"].shape[0], -1, -1, -1), "bilinear")


def crop(given: Given) -> Tensor:
    """The picture without some of its border."""
    x = given["x"]
    (top, bottom), (left, right) = given.ints("crop_height"), given.ints("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def crop_resize(given: Given) -> Tensor:
    """Boxes of the pictures resized linearly; a place outside of the picture gives `pad_value`.

    Before iOS17 `roi` is [N, 1, 4 or 5, 1, 1] and the result [N, B or 1, C, h, w]: each box on all
    pictures, or on the one that its first number names; since then [N, C, h, w].
    """
    x = given["x"]
    if given.has("boxes"):
        return _cropped(given, given["boxes"].float(), given["box_indices"].long())
    boxes = given["roi"].flatten(1)
    if boxes.shape[1] == 5:
        return _cropped(given, boxes[:, 1:], boxes[:, 0].long())[:, None]
    count = x.shape[0]
    each = _cropped(given, boxes.repeat_interleave(count, 0), torch.arange(count).repeat(len(boxes)))
    return each.reshape(len(boxes), count, *each.shape[1:])


def resample(given: Given) -> Tensor:
    """The picture read at coordinates of [B, h, w, (x, y)]."""
    return _resampled(given, given["coordinates"].float(), given.text("sampling_mode"))


def resize(given: Given) -> Tensor:
    """The last `resized_dims` axes in the last sizes of `shape`; 0 keeps an axis' size."""
    x, count = given["x"], given.integer("resized_dims")
    resized = _nearest if given.text("interpolation_mode") == "NEAREST_NEIGHBOR" else _linear
    for axis, size in zip(range(-count, 0), given.ints("shape")[-count:]):
        x = resized(x, axis, size or x.shape[axis], given.text("sampling_mode"))
    return x.to(given["x"].dtype)


def resize_bilinear(given: Given) -> Tensor:
    """Height and width in given sizes, between the two pixels that a place lies between."""
    return _both(_linear, given["x"], _target(given), given.text("sampling_mode"))


def resize_nearest_neighbor(given: Given) -> Tensor:
    """Height and width in given sizes, the pixel whose area holds each place."""
    return _both(_nearest, given["x"], _target(given), "DEFAULT")


def upsample_bilinear(given: Given) -> Tensor:
    """Height and width times factors, which the rounded sizes then redefine."""
    align = given.flag("align_corners")
    half = given.flag("half_pixel_centers") if given.has("half_pixel_centers") else not align
    mode = "STRICT_ALIGN_CORNERS" if align else "UNALIGN_CORNERS" if half else "DEFAULT"
    return _both(_linear, given["x"], _scaled(given), mode)


def upsample_nearest_neighbor(given: Given) -> Tensor:
    """Height and width times factors, the pixel before each place."""
    return _both(_before, given["x"], _scaled(given), "DEFAULT")


def _target(given: Given) -> tuple[int, int]:
    return given.integer("target_size_height"), given.integer("target_size_width")


def _scaled(given: Given) -> tuple[int, int]:
    height, width = given["x"].shape[-2:]
    return int(height * given.number("scale_factor_height")), int(width * given.number("scale_factor_width"))


def _both(resized: _Resized, x: Tensor, sizes: tuple[int, int], mode: str) -> Tensor:
    for axis, size in zip((-2, -1), sizes):
        x = resized(x, axis, size, mode)
    return x


def _linear(x: Tensor, axis: int, size: int, mode: str) -> Tensor:
    last = x.shape[axis] - 1
    places = _grid(mode, torch.tensor(float(last)), size).clamp(0, last)
    before = places.long()
    weights = (places - before).view(-1, *[1] * (-1 - axis))
    behind = (before + 1).clamp(max=last)
    return torch.lerp(x.index_select(axis, before).float(), x.index_select(axis, behind).float(), weights)


def _nearest(x: Tensor, axis: int, size: int, mode: str) -> Tensor:
    """Elements by the middle of each new one: for DEFAULT, TensorFlow's `half_pixel_centers`."""
    last = x.shape[axis] - 1
    places = _grid("UNALIGN_CORNERS" if mode == "DEFAULT" else mode, torch.tensor(float(last)), size)
    return x.index_select(axis, (places + 0.5).floor().long().clamp(0, last))


def _before(x: Tensor, axis: int, size: int, mode: str) -> Tensor:
    """Elements at or before the begin of each new one."""
    return x.index_select(axis, _grid(mode, torch.tensor(x.shape[axis] - 1.0), size).long())


def _grid(mode: str, span: Tensor, count: int) -> Tensor:
    """`count` places from 0 along spans of pixel centers, [*span, count], by coremltools' `sampling_mode`."""
    span, steps = span[..., None], torch.arange(count, dtype=torch.float32)
    if mode == "DEFAULT":
        return steps * (span + 1) / count
    if mode == "UNALIGN_CORNERS":
        return (steps + 0.5) * (span + 1) / count - 0.5
    if mode == "OFFSET_CORNERS":
        return (steps + 0.5) * span.clamp(min=1) / count
    if count == 1:
        return span / 2 if mode == "ALIGN_CORNERS" else torch.zeros_like(span)
    return steps * span / (count - 1)


def _cropped(given: Given, boxes: Tensor, pictures: Tensor) -> Tensor:
    x, mode = given["x"], given.text("sampling_mode")
    rows, columns = (
        begin[:, None] + _grid(mode, end - begin, given.integer(name))
        for (begin, end), name in zip(_edges(given, boxes), ("target_height", "target_width"))
    )
    rows, columns = rows[:, :, None], columns[:, None]
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    read = _between(x, pictures, rows, columns, "border", None)
    outside = given.number("pad_value") if given.has("pad_value") else 0.0
    return torch.where(inside[:, None], read, outside)


def _edges(given: Given, boxes: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Begin and end of each box in pixels, by rows and by columns."""
    kind = given.text("box_coordinate_mode")
    first, second, third, fourth = (boxes * given.number("spatial_scale")).unbind(1)
    rows, columns = (first, third), (second, fourth)
    if kind.endswith("WIDTH_FIRST"):
        rows, columns = columns, rows
    if kind.startswith("CENTER_SIZE"):
        rows, columns = ((at - size / 2, at + size / 2) for at, size in (rows, columns))
    if given.flag("normalized_coordinates"):
        height, width = given["x"].shape[-2:]
        rows = rows[0] * (height - 1), rows[1] * (height - 1)
        columns = columns[0] * (width - 1), columns[1] * (width - 1)
    return rows, columns


def _resampled(given: Given, places: Tensor, sampling: str) -> Tensor:
    x, padding = given["x"], given.text("padding_mode")
    columns, rows = (_pixels(given, places[..., at], x.shape[-1 - at]) for at in (0, 1))
    value = given["padding_value"] if padding == "constant" else None
    pictures = torch.arange(x.shape[0])
    if sampling == "nearest":
        return _read(x, pictures, _nearer(rows), _nearer(columns), padding, value)
    return _between(x, pictures, rows, columns, padding, value)


def _pixels(given: Given, places: Tensor, size: int) -> Tensor:
    """Coordinates of an axis in pixels, 0 at the center of the first."""
    mode = given.text("coordinates_mode")
    if mode == "unnormalized":
        return places
    share = (places + 1) / 2 if mode == "normalized_minus_one_to_one" else places
    return share * (size - 1) if given.flag("align_corners") else share * size - 0.5


def _nearer(places: Tensor) -> Tensor:
    """The next pixel; between two, the later, as in Core ML (torch's `grid_sample` takes the even one)."""
    return (places + 0.5).floor().long()


def _between(
    x: Tensor, pictures: Tensor, rows: Tensor, columns: Tensor, padding: str, value: Tensor | None
) -> Tensor:
    """What lies between four pixels, [N, C, h, w]; rows and columns are such that they make [N, h, w]."""
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    corners = [
        [_read(x, pictures, (top + lower).long(), (left + later).long(), padding, value) for later in (0, 1)]
        for lower in (0, 1)
    ]
    upper, under = (torch.lerp(near, far, right.expand_as(near)) for near, far in corners)
    return torch.lerp(upper, under, down.expand_as(upper))


def _read(
    x: Tensor, pictures: Tensor, rows: Tensor, columns: Tensor, padding: str, value: Tensor | None
) -> Tensor:
    """Pixels of pictures, [N, C, h, w]; those outside come from inside, or are `value`."""
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = _folded(rows, height, padding), _folded(columns, width, padding)
    pixels = x[pictures[:, None, None], :, rows, columns].movedim(-1, 1)
    return pixels if value is None else torch.where(inside[:, None], pixels, value)


def _folded(places: Tensor, size: int, padding: str) -> Tensor:
    """Places outside of an axis led back into it: mirrored about its last pixels or edges, or to the edge."""
    if padding == "reflection" and size > 1:
        places = places % (2 * size - 2)
        return torch.where(places < size, places, 2 * size - 2 - places)
    if padding == "symmetric":
        places = places % (2 * size)
        return torch.where(places < size, places, 2 * size - 1 - places)
    return places.clamp(0, size - 1)


OPS: Mapping[str, Op] = {
    "affine": affine,
    "crop": crop,
    "crop_resize": crop_resize,
    "resample": resample,
    "resize": resize,
    "resize_bilinear": resize_bilinear,
    "resize_nearest_neighbor": resize_nearest_neighbor,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
