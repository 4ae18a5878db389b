"""A text recognizer in the manner of CRNN (Shi et al. 2015): a line of text to scores of characters."""

from __future__ import annotations

import torch
from torch import nn

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Class 0 is the blank of CTC; the characters follow."""


def _block(inputs: int, outputs: int, pool: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(pool),
    )


class Recognizer(nn.Module):
    """Grey images [N, 1, 32, 128] to logits [N, 32, 37]: one step for 4 columns of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(1, 16, (2, 2)), _block(16, 32, (2, 2)), _block(32, 64, (2, 1)), _block(64, 64, (4, 1))
        )
        self.recurrent = nn.LSTM(64, 48, bidirectional=True, batch_first=True)
        self.head = nn.Linear(96, 1 + len(CHARACTERS))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of the blank and the characters."""
        steps, _ = self.recurrent(self.features(image).squeeze(2).transpose(1, 2))
        logits: torch.Tensor = self.head(steps)
        return logits


def net() -> nn.Module:
    """The recognizer, untrained; `train.py` writes its weights."""
    return Recognizer()
