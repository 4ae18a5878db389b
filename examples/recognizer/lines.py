"""Lines of rendered text: digits and capital letters in Pillow's own font, with noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model import CHARACTERS

HEIGHT, WIDTH = 32, 128
LONGEST = 8
"""Characters of one line at most."""


def rendered(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images [count, 32, 128], and classes of the characters [count, 8], filled up with -1."""
    draw = np.random.default_rng(seed)
    images = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    classes = np.full((count, LONGEST), -1, np.int64)
    for row in range(count):
        chosen = draw.integers(len(CHARACTERS), size=int(draw.integers(3, LONGEST + 1)))
        images[row] = _image("".join(CHARACTERS[n] for n in chosen), draw)
        classes[row, : len(chosen)] = chosen + 1  # class 0 is the blank
    return images, classes


def _image(text: str, draw: np.random.Generator) -> NDArray[np.uint8]:
    paper, ink = draw.integers(150, 256), draw.integers(0, 90)
    image = Image.new("L", (WIDTH, HEIGHT), int(paper))
    pen = ImageDraw.Draw(image)
    size = int(draw.integers(17, 25))
    font = ImageFont.load_default(size)
    while (room := WIDTH - 4 - pen.textlength(text, font)) < 0:
        size -= 1
        font = ImageFont.load_default(size)
    left, top, _, bottom = pen.textbbox((0, 0), text, font)
    x = 2 + draw.uniform(0, room) - left
    y = draw.uniform(1, HEIGHT - 1 - (bottom - top)) - top
    pen.text((x, y), text, int(ink), font)
    turned = image.rotate(draw.uniform(-2, 2), Image.Resampling.BILINEAR, fillcolor=int(paper))
    noise = draw.normal(0, draw.uniform(2, 18), (HEIGHT, WIDTH))
    return np.clip(np.asarray(turned, np.float64) + noise, 0, 255).astype(np.uint8)
