"""Resizing, cropping and resampling of images: x is [*, H, W]."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op

_Resized = Callable[[Tensor, int, int, str], Tensor]
"""Resizes an axis: x, axis, size, sampling mode."""


def affine(inputs: Inputs) -> Tensor:
    """Transform the image by the matrix [a0, a1, a2, b0, b1, b2], with coordinates from -1 to 1."""
    across = torch.linspace(-1, 1, inputs.integer("output_width"))
    down = torch.linspace(-1, 1, inputs.integer("output_height"))[:, None]
    a0, a1, a2, b0, b1, b2 = inputs["transform_matrix"][:, :, None, None].unbind(1)
    places = torch.stack([a0 * across + a1 * down + a2, b0 * across + b1 * down + b2], -1)
    return _resampled(inputs, places.expand(inputs["x"].shape[0], -1, -1, -1), "bilinear")


def crop(inputs: Inputs) -> Tensor:
    """Remove rows and columns at the borders."""
    x = inputs["x"]
    (top, bottom), (left, right) = inputs.ints("crop_height"), inputs.ints("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def crop_resize(inputs: Inputs) -> Tensor:
    """Crop boxes and resize them bilinearly; positions outside the image are `pad_value`.

    Before iOS17 `roi` is [N, 1, 4 or 5, 1, 1] and the result [N, B or 1, C, h, w]: each box of all images, or
    of the image whose index is its first number. Since iOS17 the result is [N, C, h, w].
    """
    x = inputs["x"]
    if inputs.has("boxes"):
        return _cropped(inputs, inputs["boxes"].float(), inputs["box_indices"].long())
    boxes = inputs["roi"].flatten(1)
    if boxes.shape[1] == 5:
        return _cropped(inputs, boxes[:, 1:], boxes[:, 0].long())[:, None]
    count = x.shape[0]
    crops = _cropped(inputs, boxes.repeat_interleave(count, 0), torch.arange(count).repeat(len(boxes)))
    return crops.reshape(len(boxes), count, *crops.shape[1:])


def resample(inputs: Inputs) -> Tensor:
    """Sample the image at coordinates [B, h, w, (x, y)]."""
    return _resampled(inputs, inputs["coordinates"].float(), inputs.text("sampling_mode"))


def resize(inputs: Inputs) -> Tensor:
    """Resize the last `resized_dims` axes to the last sizes of `shape`; 0 keeps the size of an axis."""
    x, count = inputs["x"], inputs.integer("resized_dims")
    resized = _nearest if inputs.text("interpolation_mode") == "NEAREST_NEIGHBOR" else _linear
    for axis, size in zip(range(-count, 0), inputs.ints("shape")[-count:]):
        x = resized(x, axis, size or x.shape[axis], inputs.text("sampling_mode"))
    return x.to(inputs["x"].dtype)


def resize_bilinear(inputs: Inputs) -> Tensor:
    """Resize height and width bilinearly."""
    return _both(_linear, inputs["x"], _target(inputs), inputs.text("sampling_mode"))


def resize_nearest_neighbor(inputs: Inputs) -> Tensor:
    """Resize height and width with the nearest pixels."""
    return _both(_nearest, inputs["x"], _target(inputs), "DEFAULT")


def upsample_bilinear(inputs: Inputs) -> Tensor:
    """Scale height and width bilinearly; the actual factors follow from the rounded sizes."""
    align = inputs.flag("align_corners")
    half = inputs.flag("half_pixel_centers") if inputs.has("half_pixel_centers") else not align
    mode = "STRICT_ALIGN_CORNERS" if align else "UNALIGN_CORNERS" if half else "DEFAULT"
    return _both(_linear, inputs["x"], _scaled(inputs), mode)


def upsample_nearest_neighbor(inputs: Inputs) -> Tensor:
    """Scale height and width, with the pixel at or before each position."""
    return _both(_before, inputs["x"], _scaled(inputs), "DEFAULT")


def _target(inputs: Inputs) -> tuple[int, int]:
    return inputs.integer("target_size_height"), inputs.integer("target_size_width")


def _scaled(inputs: Inputs) -> tuple[int, int]:
    height, width = inputs["x"].shape[-2:]
    vertical, horizontal = inputs.number("scale_factor_height"), inputs.number("scale_factor_width")
    return int(height * vertical), int(width * horizontal)


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
    """The nearest elements to the centers of the new ones; DEFAULT is `half_pixel_centers` of TensorFlow."""
    last = x.shape[axis] - 1
    places = _grid("UNALIGN_CORNERS" if mode == "DEFAULT" else mode, torch.tensor(float(last)), size)
    return x.index_select(axis, (places + 0.5).floor().long().clamp(0, last))


def _before(x: Tensor, axis: int, size: int, mode: str) -> Tensor:
    """The elements at or before the start of the new ones."""
    return x.index_select(axis, _grid(mode, torch.tensor(x.shape[axis] - 1.0), size).long())


def _grid(mode: str, span: Tensor, count: int) -> Tensor:
    """`count` positions along spans of pixel centers, [*span, count], by coremltools' `sampling_mode`."""
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


def _cropped(inputs: Inputs, boxes: Tensor, images: Tensor) -> Tensor:
    x, mode = inputs["x"], inputs.text("sampling_mode")
    rows, columns = (
        begin[:, None] + _grid(mode, end - begin, inputs.integer(name))
        for (begin, end), name in zip(_edges(inputs, boxes), ("target_height", "target_width"))
    )
    rows, columns = rows[:, :, None], columns[:, None]
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    read = _between(x, images, rows, columns, "border", None)
    outside = inputs.number("pad_value") if inputs.has("pad_value") else 0.0
    return torch.where(inside[:, None], read, outside)


def _edges(inputs: Inputs, boxes: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """First and last row and column of each box, in pixels."""
    kind = inputs.text("box_coordinate_mode")
    first, second, third, fourth = (boxes * inputs.number("spatial_scale")).unbind(1)
    rows, columns = (first, third), (second, fourth)
    if kind.endswith("WIDTH_FIRST"):
        rows, columns = columns, rows
    if kind.startswith("CENTER_SIZE"):
        rows, columns = ((at - size / 2, at + size / 2) for at, size in (rows, columns))
    if inputs.flag("normalized_coordinates"):
        height, width = inputs["x"].shape[-2:]
        rows = rows[0] * (height - 1), rows[1] * (height - 1)
        columns = columns[0] * (width - 1), columns[1] * (width - 1)
    return rows, columns


def _resampled(inputs: Inputs, places: Tensor, sampling: str) -> Tensor:
    x, padding = inputs["x"], inputs.text("padding_mode")
    columns, rows = (_pixels(inputs, places[..., at], x.shape[-1 - at]) for at in (0, 1))
    value = inputs["padding_value"] if padding == "constant" else None
    images = torch.arange(x.shape[0])
    if sampling == "nearest":
        return _read(x, images, _nearer(rows), _nearer(columns), padding, value)
    return _between(x, images, rows, columns, padding, value)


def _pixels(inputs: Inputs, places: Tensor, size: int) -> Tensor:
    """Coordinates of an axis in pixels; 0 is the center of the first pixel."""
    mode = inputs.text("coordinates_mode")
    if mode == "unnormalized":
        return places
    share = (places + 1) / 2 if mode == "normalized_minus_one_to_one" else places
    return share * (size - 1) if inputs.flag("align_corners") else share * size - 0.5


def _nearer(places: Tensor) -> Tensor:
    """The nearest pixel; halves are rounded up as in Core ML, not to even as in `grid_sample` of torch."""
    return (places + 0.5).floor().long()


def _between(
    x: Tensor, images: Tensor, rows: Tensor, columns: Tensor, padding: str, value: Tensor | None
) -> Tensor:
    """Bilinear interpolation, [N, C, h, w]; `rows` and `columns` broadcast to [N, h, w]."""
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    corners = [
        [_read(x, images, (top + lower).long(), (left + later).long(), padding, value) for later in (0, 1)]
        for lower in (0, 1)
    ]
    upper, under = (torch.lerp(near, far, right.expand_as(near)) for near, far in corners)
    return torch.lerp(upper, under, down.expand_as(upper))


def _read(
    x: Tensor, images: Tensor, rows: Tensor, columns: Tensor, padding: str, value: Tensor | None
) -> Tensor:
    """Pixels of images, [N, C, h, w]; those outside are `value`, or by `padding` if it is None."""
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = _folded(rows, height, padding), _folded(columns, width, padding)
    pixels = x[images[:, None, None], :, rows, columns].movedim(-1, 1)
    return pixels if value is None else torch.where(inside[:, None], pixels, value)


def _folded(places: Tensor, size: int, padding: str) -> Tensor:
    """Positions folded into an axis: mirrored at its last pixels or at its edges, or clamped."""
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
