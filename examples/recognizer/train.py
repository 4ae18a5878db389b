"""Train the recognizer on rendered text, and write its weights and samples.

    python train.py        about 90 s on one core

Nothing is downloaded. It writes ``weights.safetensors``, 64 lines to calibrate with and 300 to measure with
in ``data/``. One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # what several examples share

import training

import lines
from model import Recognizer

HERE = Path(__file__).parent
LINES, EPOCHS, BATCH, PEAK_RATE = 4000, 10, 32, 0.006
CALIBRATION, EVALUATION = 64, 300


def main() -> None:
    """Train, and write weights and samples."""
    training.run(
        __doc__, HERE, Recognizer, train, samples,
        epochs=EPOCHS, calibration=CALIBRATION, evaluation=EVALUATION,
    )  # fmt: skip


def train(model: Recognizer, epochs: int) -> None:
    """Train `model` in place."""
    images, classes = (torch.from_numpy(each) for each in lines.rendered(LINES, seed=1))
    inputs = images.unsqueeze(1).float() / 127.5 - 1
    criterion = nn.CTCLoss()

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        scores = model(inputs[chosen]).log_softmax(2).transpose(0, 1)
        lengths = torch.full((BATCH,), len(scores))
        found: torch.Tensor = criterion(scores, classes[chosen], lengths, (classes[chosen] >= 0).sum(1))
        return found

    training.fit(
        model, loss, samples=LINES, epochs=epochs, batch=BATCH, peak_rate=PEAK_RATE, most_gradient=5.0
    )


def samples(count: int, seed: int) -> training.Arrays:
    """The arrays of an ``.npz``: images, and classes filled up with -1."""
    images, classes = lines.rendered(count, seed)
    return {"inputs": images, "labels": classes}


if __name__ == "__main__":
    main()
