"""Pre-processing: a picture becomes the tensor that the contract's image input describes.

The same arithmetic, in the same order, as when the model was calibrated and checked: change it, and the
model sees other numbers than those it was measured on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from . import resample

if TYPE_CHECKING:
    from .contract import ImageInput

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Framing(NamedTuple):
    """Where a picture lies in the model's: resized to `wide` and `high`, its corner at (`left`, `top`)."""

    wide: int
    high: int
    left: int
    top: int


def framing(width: int, height: int, contract: ImageInput) -> Framing:
    """Where a picture of `width` and `height` lies; what is outside the model's picture is cut off."""
    high, wide = contract["size"]
    if contract["resize"] == "stretch":
        return Framing(wide, high, 0, 0)
    if contract["resize"] == "letterbox":
        scale = min(wide / width, high / height)
        size = max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
        return Framing(*size, (wide - size[0]) // 2, (high - size[1]) // 2)
    short = contract["resize_to"] or max(high, wide)
    # torchvision.transforms.functional.resize: the longer side is cut to a whole number
    upright = width <= height
    size = (short, int(short * height / width)) if upright else (int(short * width / height), short)
    return Framing(*size, -round((size[0] - wide) / 2.0), -round((size[1] - high) / 2.0))


def read_picture(path: Path, channels: str) -> NDArray[np.uint8]:
    """The picture at `path`, upright, transparency on white: uint8 [H, W, 3] in RGB, or [H, W].

    Raises OSError, ValueError or SyntaxError (as Pillow does) where it cannot be read; ValueError also where
    its values are not of 1 to 16 bits.
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
        raise ValueError("its values have 32 bits, and their white is not known: save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values * 255 + 32895) >> 16).astype(np.uint8))


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
    place = framing(image.width, image.height, contract)
    resized = _resized(image, (place.wide, place.high), contract)
    height, width = contract["size"]
    found = np.full((height, width, *resized.shape[2:]), contract["pad_value"], np.uint8)
    left, top = max(0, place.left), max(0, place.top)
    part = resized[top - place.top : height - place.top, left - place.left : width - place.left]
    found[top : top + part.shape[0], left : left + part.shape[1]] = part
    return found


def _resized(image: Image.Image, size: tuple[int, int], contract: ImageInput) -> NDArray[np.uint8]:
    """`image` in a `size` of width and height, resized along its width first."""
    kind = contract["interpolation"]
    if contract["antialias"] or kind == "nearest":
        # Pillow 13 takes the cheaper order, others the width first, which gives other bits: so two calls
        filter_ = _FILTERS[kind]
        return np.asarray(image.resize((size[0], image.height), filter_).resize(size, filter_))
    return resample.resized(np.asarray(image), size, kind)
