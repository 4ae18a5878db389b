"""Pictures as Core ML takes and gives them: PIL outside, planes of 0..255 inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

_MODES = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}
"""PIL's mode of each of Core ML's colour spaces; Core ML turns other pictures into it."""


@dataclass(frozen=True)
class ColorSpace:
    """How a feature's pictures lie in memory, by the name of Core ML's colour space."""

    name: str

    def tensor(self, picture: Image.Image) -> torch.Tensor:
        """A picture as [1, channels, height, width], 0..255 (grey in fp16: its own numbers), fp32."""
        pixels = np.array(picture.convert(_MODES[self.name]), np.float32)
        if pixels.ndim == 2:
            return torch.from_numpy(pixels)[None, None]
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        return planes.flip(1) if self.name == "BGR" else planes

    def picture(self, planes: torch.Tensor) -> Image.Image:
        """[1, channels, height, width] as a picture; 8-bit ones rounded, and held within 0..255."""
        pixels = planes[0].flip(0) if self.name == "BGR" else planes[0]
        if self.name == "GRAYSCALE_FLOAT16":
            return Image.fromarray(pixels[0].numpy())
        codes = pixels.round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(codes[0].numpy() if len(codes) == 1 else codes.permute(1, 2, 0).numpy())
