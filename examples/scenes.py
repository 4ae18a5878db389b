"""Synthetic scenes: shapes of three classes on cluttered backgrounds, with their boxes and masks.

The same seed gives the same scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("disc", "square", "triangle")
SIZE = 96
"""Height and width of a scene in pixels."""
MOST = 5
"""Shapes of one scene at most; there is at least one."""
_GAP = 2
"""Pixels between the boxes of two shapes."""


@dataclass(frozen=True)
class Scene:
    """An image with what is on it."""

    pixels: NDArray[np.uint8]
    """[SIZE, SIZE, 3], RGB."""
    boxes: NDArray[np.float32]
    """[shapes, 4]: left, top, right, bottom, in pixels."""
    classes: NDArray[np.int64]
    """[shapes], places in `CLASSES`."""
    mask: NDArray[np.uint8]
    """[SIZE, SIZE]: 0 for the background, else 1 more than the class."""


def scenes(count: int, seed: int) -> list[Scene]:
    """`count` scenes; those of two seeds have nothing in common."""
    draw = np.random.default_rng(seed)
    return [_scene(draw) for _ in range(count)]


def _scene(draw: np.random.Generator) -> Scene:
    image = _background(draw)
    mask = Image.new("L", (SIZE, SIZE))
    boxes: list[tuple[int, int, int, int]] = []
    classes: list[int] = []
    for _ in range(int(draw.integers(1, MOST + 1))):
        box = _free(draw, boxes)
        if box is None:
            continue
        number = int(draw.integers(len(CLASSES)))
        color = tuple(draw.integers(0, 256, 3).tolist())
        _shape(ImageDraw.Draw(image), number, box, color)
        _shape(ImageDraw.Draw(mask), number, box, number + 1)
        boxes.append(box)
        classes.append(number)
    image = image.filter(ImageFilter.GaussianBlur(float(draw.uniform(0.2, 0.8))))
    noise = draw.normal(0, draw.uniform(2, 10), (SIZE, SIZE, 3))
    pixels = np.clip(np.asarray(image, np.float64) + noise, 0, 255).astype(np.uint8)
    # pixels are drawn up to and including the last one
    corners = np.asarray(boxes, np.float32).reshape(-1, 4) + np.array([0, 0, 1, 1], np.float32)
    return Scene(pixels, corners, np.asarray(classes, np.int64), np.asarray(mask, np.uint8))


def _background(draw: np.random.Generator) -> Image.Image:
    """A color gradient with a few thin lines."""
    corners = draw.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    image = Image.fromarray(corners).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    for _ in range(int(draw.integers(0, 5))):
        ends = [(int(x), int(y)) for x, y in draw.integers(0, SIZE, (2, 2))]
        pen.line(ends, tuple(draw.integers(0, 256, 3).tolist()))
    return image


def _free(
    draw: np.random.Generator, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    """A box that touches none of `taken`; None if a few tries find no place."""
    for _ in range(20):
        side = int(draw.integers(12, 37))
        left, top = (int(each) for each in draw.integers(0, SIZE - side, 2))
        box = (left, top, left + side - 1, top + side - 1)
        if all(
            box[0] > other[2] + _GAP
            or box[2] < other[0] - _GAP
            or box[1] > other[3] + _GAP
            or box[3] < other[1] - _GAP
            for other in taken
        ):
            return box
    return None


def _shape(
    pen: ImageDraw.ImageDraw, number: int, box: tuple[int, int, int, int], color: tuple[int, ...] | int
) -> None:
    left, top, right, bottom = box
    if CLASSES[number] == "disc":
        pen.ellipse(box, color)
    elif CLASSES[number] == "square":
        pen.rectangle(box, color)
    else:
        pen.polygon([((left + right) // 2, top), (left, bottom), (right, bottom)], color)
