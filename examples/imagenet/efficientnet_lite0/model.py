"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6 instead of swish.

After arXiv:1905.11946 and google's tpu repository, models/official/efficientnet/lite. Module
names are those of the efficientnet-lite-pytorch package, so that its weights load.
"""

from typing import Final

import torch
from torch import nn

# kernel, stride of the first block, expansion, channels out, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM, HEAD, CLASSES = 32, 1280, 1000


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Convolution that keeps the size (stride 1), or halves it after ``_border`` (stride 2)."""
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _border(kernel: int, stride: int) -> nn.Module:
    """Padding "same" of TensorFlow for even sizes at stride 2: more at the right and bottom."""
    if stride == 1:
        return nn.Identity()
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    return nn.ZeroPad2d((before, after, before, after))


class Block(nn.Module):
    """Inverted residual: expansion, depthwise convolution, projection; a shortcut if shapes match."""

    # Final: TorchScript then skips branches that are not taken. It does not support annotations as
    # strings, so this file has no `from __future__ import annotations`.
    expands: Final[bool]

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion != 1
        self.adds = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = _convolution(inputs, wide, 1)
            self._bn0 = _norm(wide)
        self.border = _border(kernel, stride)
        self._depthwise_conv = _convolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _convolution(wide, outputs, 1)
        self._bn2 = _norm(outputs)
        self.relu = nn.ReLU6()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = inputs
        if self.expands:
            x = self.relu(self._bn0(self._expand_conv(x)))
        x = self.relu(self._bn1(self._depthwise_conv(self.border(x))))
        projected: torch.Tensor = self._bn2(self._project_conv(x))
        return projected + inputs if self.adds else projected


class EfficientNetLite0(nn.Module):
    """Images [N, 3, 224, 224] to logits [N, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.border = _border(3, 2)
        self._conv_stem = _convolution(3, STEM, 3, 2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList()
        inputs = STEM
        for kernel, stride, expansion, outputs, count in STAGES:
            for place in range(count):
                first_stride = stride if place == 0 else 1
                self._blocks.append(Block(inputs, outputs, kernel, first_stride, expansion))
                inputs = outputs
        self._conv_head = _convolution(inputs, HEAD, 1)
        self._bn1 = _norm(HEAD)
        self.relu = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self._bn0(self._conv_stem(self.border(x))))
        for block in self._blocks:
            x = block(x)
        x = self.relu(self._bn1(self._conv_head(x)))
        x = self.dropout(torch.flatten(self.pool(x), 1))
        logits: torch.Tensor = self._fc(x)
        return logits


def net() -> nn.Module:
    """The network in eval mode, without weights."""
    return EfficientNetLite0().eval()
