"""Pre-processing: a picture becomes the tensor that the contract's `ImageInput` describes.

The reference of what CONTRACT.md defines: the apps of all languages give the same bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgepack.contract import Channels, ImageInput, resample

Picture = NDArray[np.uint8]
"""[H, W, 3] in RGB or [H, W] grey, 8 bits a value."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def read_picture(path: Path, channels: Channels) -> Picture:
    """The picture at `path`, upright, transparency on white: uint8 [H, W, 3] in RGB, or [H, W].

    Raises OSError, ValueError or SyntaxError (as Pillow does) where it cannot be read.
    """
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.has_transparency_data:
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright.convert("RGBA"))
        return np.asarray(upright.convert("L" if channels == "L" else "RGB"), dtype=np.uint8)


def prepare(picture: Picture, contract: ImageInput) -> NDArray[np.generic]:
    """`picture` (uint8, [H, W, 3] in RGB or [H, W] grey) as the model takes it, batch of 1."""
    pixels = framed(picture, contract)
    if contract.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    values: NDArray[np.generic] = pixels
    if contract.dtype == "float32":
        table = np.asarray(contract.table(), np.float64).astype(np.float32)
        values = np.stack([row[pixels[:, :, channel]] for channel, row in enumerate(table)], axis=-1)
    if contract.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    # a copy: indexing with [None] leaves a stride of 0, which ExecuTorch refuses
    return np.array(values[None], order="C", copy=True)


def framed(picture: Picture, contract: ImageInput) -> Picture:
    """`picture` resized and cropped or padded to the contract's size: uint8 [H, W, depth], never BGR."""
    grey = contract.channels == "L"
    image = Image.fromarray(picture).convert("L" if grey else "RGB")
    frame = _framed(image, contract)
    return frame[:, :, None] if grey else frame


def _framed(image: Image.Image, contract: ImageInput) -> Picture:
    height, width = contract.size
    if contract.resize == "stretch":
        return _resized(image, (width, height), contract)
    if contract.resize == "letterbox":
        return _letterboxed(image, contract)
    short = contract.shorter_side
    # torchvision.transforms.functional.resize: the longer side is cut to a whole number
    wide, high = (
        (short, int(short * image.height / image.width))
        if image.width <= image.height
        else (int(short * image.width / image.height), short)
    )
    resized = _resized(image, (wide, high), contract)
    left, top = round((wide - width) / 2.0), round((high - height) / 2.0)
    return resized[top : top + height, left : left + width]


def _letterboxed(image: Image.Image, contract: ImageInput) -> Picture:
    height, width = contract.size
    scale = min(width / image.width, height / image.height)
    wide = max(1, int(image.width * scale + 0.5))
    high = max(1, int(image.height * scale + 0.5))
    resized = _resized(image, (wide, high), contract)
    ground = np.full((height, width, *resized.shape[2:]), contract.pad_value, np.uint8)
    left, top = (width - wide) // 2, (height - high) // 2
    ground[top : top + high, left : left + wide] = resized
    return ground


def _resized(image: Image.Image, size: tuple[int, int], contract: ImageInput) -> Picture:
    """`image` in a `size` of width and height, resized along its width first."""
    if contract.antialias or contract.interpolation == "nearest":
        # Pillow 13 takes the cheaper order, others the width first, which gives other bits: so two calls
        kind = _FILTERS[contract.interpolation]
        return np.asarray(image.resize((size[0], image.height), kind).resize(size, kind), dtype=np.uint8)
    return resample.resized(np.asarray(image), size, contract.interpolation)
