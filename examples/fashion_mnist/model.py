"""The network of this example: 23,754 parameters, with depthwise separable convolutions as in MobileNet."""

from __future__ import annotations

import torch
from torch import nn


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a pointwise one, each with BatchNorm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm1(self.depthwise(x)))
        mixed: torch.Tensor = self.relu(self.norm2(self.pointwise(x)))
        return mixed


class Net(nn.Module):
    """Images [N, 1, 28, 28], normalized, to the logits [N, 10] of the ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(
            Separable(16, 32, stride=2),  # 14 x 14
            Separable(32, 64),
            Separable(64, 64),
            Separable(64, 64, stride=2),  # 7 x 7
            Separable(64, 128),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.pool(self.blocks(x))
        logits: torch.Tensor = self.classifier(torch.flatten(x, 1))
        return logits


def net() -> nn.Module:
    """The untrained network in eval mode."""
    return Net().eval()
