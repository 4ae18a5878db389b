"""Pre-processing: a picture becomes the tensor that the contract's image input describes.

The same arithmetic, in the same order, as when the model was calibrated and checked: change it, and the
model sees other numbers than those it was measured on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import resample

if TYPE_CHECKING:
    from contract import ImageInput

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def read_picture(path: Path, channels: str) -> NDArray[np.uint8]:
    """The picture at `path`, upright, transparency on white: uint8 [H, W, 3] in RGB, or [H, W].

    Raises OSError, ValueError or SyntaxError (as Pillow does) where it cannot be read.
    """
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.has_transparency_data:
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright.convert("RGBA"))
        return np.asarray(upright.convert("L" if channels == "L" else "RGB"), dtype=np.uint8)


def framed(picture: NDArray[np.uint8], contract: ImageInput) -> NDArray[np.uint8]:
    """`picture` resized and cropped or padded to the contract's size: uint8 [H, W, depth], never BGR."""
    grey = contract["channels"] == "L"
    image = Image.fromarray(picture).convert("L" if grey else "RGB")
    frame = _framed(image, contract)
    return frame[:, :, None] if grey else frame


def prepared(frame: NDArray[np.uint8], contract: ImageInput) -> NDArray[Any]:
    """What the model takes for what `framed` gave, batch of 1."""
    pixels = frame[:, :, ::-1] if contract["channels"] == "BGR" else frame
    values: NDArray[Any] = pixels
    if contract["dtype"] == "float32":
        values = np.stack([row[pixels[:, :, n]] for n, row in enumerate(_table(contract))], axis=-1)
    if contract["layout"] == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.array(values[None], order="C", copy=True)


def _table(contract: ImageInput) -> list[NDArray[np.float32]]:
    """The value of each of the 256 levels, an array a channel; rounded once, from double precision."""
    low, high = contract["value_range"]
    depth = 1 if contract["channels"] == "L" else 3
    levels = np.arange(256, dtype=np.float64)
    pairs = zip(contract["mean"] or [0.0] * depth, contract["std"] or [1.0] * depth)
    return [((((high - low) * levels / 255 + low) - m) / s).astype(np.float32) for m, s in pairs]


def _framed(image: Image.Image, contract: ImageInput) -> NDArray[np.uint8]:
    height, width = contract["size"]
    if contract["resize"] == "stretch":
        return _resized(image, (width, height), contract)
    if contract["resize"] == "letterbox":
        return _letterboxed(image, contract)
    short = contract["resize_to"] or max(height, width)
    # torchvision.transforms.functional.resize: the longer side is cut to a whole number
    wide, high = (
        (short, int(short * image.height / image.width))
        if image.width <= image.height
        else (int(short * image.width / image.height), short)
    )
    resized = _resized(image, (wide, high), contract)
    left, top = round((wide - width) / 2.0), round((high - height) / 2.0)
    return resized[top : top + height, left : left + width]


def _letterboxed(image: Image.Image, contract: ImageInput) -> NDArray[np.uint8]:
    height, width = contract["size"]
    scale = min(width / image.width, height / image.height)
    wide = max(1, int(image.width * scale + 0.5))
    high = max(1, int(image.height * scale + 0.5))
    resized = _resized(image, (wide, high), contract)
    ground = np.full((height, width, *resized.shape[2:]), contract["pad_value"], np.uint8)
    left, top = (width - wide) // 2, (height - high) // 2
    ground[top : top + high, left : left + wide] = resized
    return ground


def _resized(image: Image.Image, size: tuple[int, int], contract: ImageInput) -> NDArray[np.uint8]:
    """`image` in a `size` of width and height, resized along its width first."""
    kind = contract["interpolation"]
    if contract["antialias"] or kind == "nearest":
        # Pillow 13 takes the cheaper order, others the width first, which gives other bits: so two calls
        filter_ = _FILTERS[kind]
        return np.asarray(image.resize((size[0], image.height), filter_).resize(size, filter_))
    return resample.resized(np.asarray(image), size, kind)
