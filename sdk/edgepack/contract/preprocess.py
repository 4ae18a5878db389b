"""Pre-processing: from an 8-bit image to the tensor that the contract describes.

This is the reference implementation of CONTRACT.md: the apps of all languages compute the same bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgepack.arrays import Array
from edgepack.contract import resample

Image8 = NDArray[np.uint8]
"""[H, W, 3] in RGB, or [H, W] in grey; 8 bits per value."""


class ImageSpec(Protocol):
    """What pre-processing reads of an `ImageInput`, which documents each member."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def layout(self) -> str: ...
    @property
    def channels(self) -> str: ...
    @property
    def resize(self) -> str: ...
    @property
    def shorter_side(self) -> int: ...
    @property
    def pad_value(self) -> int: ...
    @property
    def interpolation(self) -> str: ...
    @property
    def antialias(self) -> bool: ...
    @property
    def dtype(self) -> str: ...
    def table(self) -> tuple[tuple[float, ...], ...]: ...


_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def read_image(path: Path, channels: str) -> Image8:
    """The image at `path`, upright, with transparency over white: [H, W] for `channels` `L`, else [H, W, 3].

    Raises OSError, ValueError or SyntaxError, as Pillow does, if it cannot be read; ValueError also if its
    values are not of 1 to 16 bits.
    """
    with Image.open(path) as opened:
        upright = _in_8_bits(ImageOps.exif_transpose(opened))
        if upright.has_transparency_data:
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright.convert("RGBA"))
        return np.asarray(upright.convert("L" if channels == "L" else "RGB"), dtype=np.uint8)


def _in_8_bits(image: Image.Image) -> Image.Image:
    """`image`; one of 16 bits is scaled, where Pillow would clip everything above 255 to white."""
    if image.mode in ("I", "F"):
        kind = "integers" if image.mode == "I" else "floats"
        raise ValueError(f"its values are 32-bit {kind}, whose white is not known: save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.uint32)
    # the nearest of 256 levels, as libpng's png_set_scale_16 has it
    return Image.fromarray(((values * 255 + 32895) >> 16).astype(np.uint8))


def prepare(image: Image8, spec: ImageSpec) -> Array:
    """`image` as the model takes it: [1, channels, H, W] or [1, H, W, channels] by `spec.layout`."""
    pixels = framed(image, spec)
    if spec.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    values: Array = pixels
    if spec.dtype == "float32":
        table = np.asarray(spec.table(), np.float64).astype(np.float32)
        values = np.stack([row[pixels[:, :, channel]] for channel, row in enumerate(table)], axis=-1)
    if spec.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    # a copy: indexing with [None] leaves a stride of 0, which ExecuTorch refuses
    return np.array(values[None], order="C", copy=True)


def framed(image: Image8, spec: ImageSpec) -> Image8:
    """`image` resized and cropped or padded to `spec.size`: [H, W, channels], RGB also for BGR."""
    grey = spec.channels == "L"
    converted = Image.fromarray(image).convert("L" if grey else "RGB")
    frame = _framed(converted, spec)
    return frame[:, :, None] if grey else frame


def _framed(image: Image.Image, spec: ImageSpec) -> Image8:
    height, width = spec.size
    if spec.resize == "stretch":
        return _resized(image, (width, height), spec)
    if spec.resize == "letterbox":
        return _letterboxed(image, spec)
    short = spec.shorter_side
    # torchvision.transforms.functional.resize: the longer side is truncated to a whole number
    wide, high = (
        (short, int(short * image.height / image.width))
        if image.width <= image.height
        else (int(short * image.width / image.height), short)
    )
    resized = _resized(image, (wide, high), spec)
    left, top = round((wide - width) / 2.0), round((high - height) / 2.0)
    return resized[top : top + height, left : left + width]


def _letterboxed(image: Image.Image, spec: ImageSpec) -> Image8:
    height, width = spec.size
    scale = min(width / image.width, height / image.height)
    wide = max(1, int(image.width * scale + 0.5))
    high = max(1, int(image.height * scale + 0.5))
    resized = _resized(image, (wide, high), spec)
    padded = np.full((height, width, *resized.shape[2:]), spec.pad_value, np.uint8)
    left, top = (width - wide) // 2, (height - high) // 2
    padded[top : top + high, left : left + wide] = resized
    return padded


def _resized(image: Image.Image, size: tuple[int, int], spec: ImageSpec) -> Image8:
    """`image` resized to `size` (width, height), along its width first."""
    if spec.antialias or spec.interpolation == "nearest":
        # two calls: Pillow 13 starts with the cheaper axis, older versions with the width; the bits differ
        filter_ = _FILTERS[spec.interpolation]
        return np.asarray(image.resize((size[0], image.height), filter_).resize(size, filter_), np.uint8)
    return resample.resized(np.asarray(image), size, spec.interpolation)
