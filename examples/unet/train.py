"""Train the U-Net on generated scenes, and write its weights and samples.

    python train.py        about 90 s on one core

Nothing is downloaded. It writes ``weights.safetensors``, 64 scenes to calibrate with and 100 to measure with
in ``data/``. One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # what several examples share

import scenes
import training

from model import UNet

HERE = Path(__file__).parent
SCENES, EPOCHS, BATCH, PEAK_RATE = 800, 12, 16, 0.01
CALIBRATION, EVALUATION = 64, 100


def main() -> None:
    """Train, and write weights and samples."""
    training.run(
        __doc__, HERE, UNet, train, samples,
        epochs=EPOCHS, calibration=CALIBRATION, evaluation=EVALUATION,
    )  # fmt: skip


def train(model: UNet, epochs: int) -> None:
    """Train `model` in place."""
    seen = scenes.scenes(SCENES, seed=1)
    images = torch.from_numpy(np.stack([scene.pixels for scene in seen])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([scene.mask for scene in seen])).long()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([0.25, 1.0, 1.0, 1.0]))  # most pixels are background

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = criterion(model(images[chosen].float() / 255), masks[chosen])
        return found

    training.fit(model, loss, samples=len(seen), epochs=epochs, batch=BATCH, peak_rate=PEAK_RATE)


def samples(count: int, seed: int) -> training.Arrays:
    """The arrays of an ``.npz``: images [samples, 96, 96, 3] and masks [samples, 96, 96]."""
    seen = scenes.scenes(count, seed)
    return {
        "inputs": np.stack([scene.pixels for scene in seen]),
        "labels": np.stack([scene.mask for scene in seen]),
    }


if __name__ == "__main__":
    main()
