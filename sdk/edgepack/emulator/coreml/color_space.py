"""Convert between images of PIL and tensors with the pixel layout of Core ML."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

_MODES = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}
"""Mode of PIL for each color space of Core ML. Images in other modes are converted."""


@dataclass(frozen=True)
class ColorSpace:
    """A color space of Core ML: the pixel layout of an image feature."""

    name: str

    def tensor(self, image: Image.Image) -> torch.Tensor:
        """[1, channels, height, width] in fp32: 0 to 255, or the values of an image in GRAYSCALE_FLOAT16."""
        pixels = np.array(image.convert(_MODES[self.name]), np.float32)
        if pixels.ndim == 2:
            return torch.from_numpy(pixels)[None, None]
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        return planes.flip(1) if self.name == "BGR" else planes

    def image(self, planes: torch.Tensor) -> Image.Image:
        """An image from [1, channels, height, width]. 8-bit pixels are rounded and clamped."""
        pixels = planes[0].flip(0) if self.name == "BGR" else planes[0]
        if self.name == "GRAYSCALE_FLOAT16":
            return Image.fromarray(pixels[0].numpy())
        codes = pixels.round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(codes[0].numpy() if len(codes) == 1 else codes.permute(1, 2, 0).numpy())
