"""A small U-Net (Ronneberger et al. 2015): 96x96 images to a class per pixel."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 4
"""Background, disc, square, triangle."""


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """Images [N, 3, 96, 96] to logits [N, 4, 96, 96]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([3, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * b, b, 2, 2) for b in widths[-2::-1])
        self.merge = nn.ModuleList(_block(2 * b, b) for b in widths[-2::-1])
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of the classes."""
        skipped: list[torch.Tensor] = []
        x = image
        for number, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if number else x)
            skipped.append(x)
        for up, merge, skip in zip(self.up, self.merge, skipped[-2::-1]):
            x = merge(torch.cat([up(x), skip], 1))
        logits: torch.Tensor = self.head(x)
        return logits


class Classes(UNet):
    """The same network with the best class of each pixel as output, [N, 96, 96], int64."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class numbers."""
        return super().forward(image).argmax(1)


def net() -> nn.Module:
    """The U-Net, untrained; `train.py` writes its weights."""
    return UNet()


def classes() -> nn.Module:
    """The U-Net with argmax in the graph; it takes the same weights."""
    return Classes()
