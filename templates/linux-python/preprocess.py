"""Pre-processing: a picture becomes the tensor that the contract's image input describes.

The same Pillow calls and the same float32 arithmetic, in the same order, as when the model was
calibrated and checked: change one, and the model sees other numbers than those it was measured on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

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


def prepare(picture: NDArray[np.uint8], contract: ImageInput) -> NDArray[np.float32]:
    """`picture` (uint8, [H, W, 3] in RGB or [H, W] grey) as the model takes it, batch of 1."""
    grey = contract["channels"] == "L"
    image = Image.fromarray(picture).convert("L" if grey else "RGB")
    pixels = np.asarray(_resized(image, contract), dtype=np.float32)
    if grey:
        pixels = pixels[:, :, None]
    elif contract["channels"] == "BGR":
        pixels = pixels[:, :, ::-1]
    low, high = contract["value_range"]
    values = pixels * np.float32((high - low) / 255.0) + np.float32(low)
    if contract["mean"]:
        values = values - np.asarray(contract["mean"], np.float32)
    if contract["std"]:
        values = np.divide(values, np.asarray(contract["std"], np.float32))
    if contract["layout"] == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], dtype=np.float32)


def _resized(image: Image.Image, contract: ImageInput) -> Image.Image:
    height, width = contract["size"]
    resample = _FILTERS[contract["interpolation"]]
    if contract["resize"] == "stretch":
        return image.resize((width, height), resample)
    short = contract["resize_to"] or max(height, width)
    # torchvision.transforms.functional.resize: the longer side is cut to a whole number
    wide, high = (
        (short, int(short * image.height / image.width))
        if image.width <= image.height
        else (int(short * image.width / image.height), short)
    )
    image = image.resize((wide, high), resample)
    left, top = round((wide - width) / 2.0), round((high - height) / 2.0)
    return image.crop((left, top, left + width, top + height))
