"""A detector in the manner of CenterNet (Zhou et al. 2019): 96x96 images to boxes and scores.

Each of 24x24 cells says how likely the centre of a disc, a square or a triangle is in it, where in the cell
the centre is, and how large the shape is.
"""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 3
STRIDE = 4
"""Pixels of the image per cell."""
CELLS = 24
"""Cells per row and per column."""


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise separable convolution, as in MobileNet."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU6(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class Detector(nn.Module):
    """Images [N, 3, 96, 96] to boxes [N, 576, 4] (cxcywh, pixels) and logits [N, 576, 3]."""

    cells: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.fine = nn.Sequential(_block(16, 32, 2), _block(32, 48))
        self.coarse = nn.Sequential(_block(48, 64, 2), _block(64, 96, 2), _block(96, 96))
        self.lateral = nn.Conv2d(48, 64, 1)
        self.down = nn.Conv2d(96, 64, 1)
        self.neck = _block(64, 64)
        self.heat = nn.Sequential(_block(64, 48), nn.Conv2d(48, CLASSES, 1))
        self.place = nn.Sequential(_block(64, 48), nn.Conv2d(48, 4, 1))
        places = torch.arange(CELLS, dtype=torch.float32)
        rows, columns = torch.meshgrid(places, places, indexing="ij")
        self.register_buffer("cells", torch.stack([columns, rows]).view(1, 2, -1), persistent=False)

    def heads(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, 3, 576] and raw places [N, 4, 576], row by row."""
        fine = self.fine(self.stem(image))
        coarse = nn.functional.interpolate(self.down(self.coarse(fine)), scale_factor=4.0, mode="nearest")
        shared = self.neck(self.lateral(fine) + coarse)
        return self.heat(shared).flatten(2), self.place(shared).flatten(2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes, decoded, and logits."""
        heat, place = self.heads(image)
        centres = (self.cells + place[:, :2].sigmoid()) * STRIDE
        boxes = torch.cat([centres, place[:, 2:].exp() * STRIDE], 1)
        return boxes.transpose(1, 2), heat.transpose(1, 2)


def net() -> nn.Module:
    """The detector, untrained; `train.py` writes its weights."""
    return Detector()
