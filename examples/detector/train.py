"""Train the detector on generated scenes, and write its weights and samples.

    python train.py        about 90 s on one core

Nothing is downloaded. It writes ``weights.safetensors``, 64 scenes to calibrate with and 200 to measure with
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

from model import CELLS, CLASSES, STRIDE, Detector

HERE = Path(__file__).parent
SCENES, EPOCHS, BATCH, PEAK_RATE = 2400, 12, 32, 0.01
CALIBRATION, EVALUATION = 64, 200


def main() -> None:
    """Train, and write weights and samples."""
    training.run(
        __doc__, HERE, Detector, train, samples,
        epochs=EPOCHS, calibration=CALIBRATION, evaluation=EVALUATION,
    )  # fmt: skip


def train(model: Detector, epochs: int) -> None:
    """Train `model` in place."""
    seen = scenes.scenes(SCENES, seed=1)
    images = torch.from_numpy(np.stack([scene.pixels for scene in seen])).permute(0, 3, 1, 2)
    heat, place, centres = (torch.stack(each) for each in zip(*(_targets(scene) for scene in seen)))

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        logits, raw = model.heads(images[chosen].float() / 127.5 - 1)
        return _focal(logits, heat[chosen]) + _distance(raw, place[chosen], centres[chosen])

    training.fit(model, loss, samples=len(seen), epochs=epochs, batch=BATCH, peak_rate=PEAK_RATE)


def _targets(scene: scenes.Scene) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat [3, 576] with 1 at centres, places [4, 576], and whether a cell has a centre [576]."""
    heat = np.zeros((CLASSES, CELLS, CELLS), np.float32)
    place = np.zeros((4, CELLS, CELLS), np.float32)
    centres = np.zeros((CELLS, CELLS), bool)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    for (left, top, right, bottom), number in zip(scene.boxes.tolist(), scene.classes.tolist()):
        x, y = (left + right) / 2 / STRIDE, (top + bottom) / 2 / STRIDE
        width, height = (right - left) / STRIDE, (bottom - top) / STRIDE
        column, row = int(x), int(y)
        near = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * (0.15 * width) ** 2))
        heat[number] = np.maximum(heat[number], near)
        place[:, row, column] = x - column, y - row, np.log(width), np.log(height)
        centres[row, column] = True
    return (
        torch.from_numpy(heat).flatten(1),
        torch.from_numpy(place).flatten(1),
        torch.from_numpy(centres).flatten(),
    )


def _focal(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """The focal loss of CenterNet (Zhou et al. 2019, equation 1), per centre."""
    scores = logits.sigmoid()
    there = nn.functional.logsigmoid(logits) * (1 - scores) ** 2
    not_there = nn.functional.logsigmoid(-logits) * scores**2 * (1 - heat) ** 4
    is_centre = heat == 1
    return -torch.where(is_centre, there, not_there).sum() / is_centre.sum()


def _distance(raw: torch.Tensor, place: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """L1 of places in the cell and of logarithms of sizes, at the centres alone."""
    decoded = torch.cat([raw[:, :2].sigmoid(), raw[:, 2:]], 1)
    return (decoded - place).abs().transpose(1, 2)[centres].mean() * 5


def samples(count: int, seed: int) -> training.Arrays:
    """The arrays of an ``.npz``: images [samples, 96, 96, 3], boxes and classes, filled up with class -1."""
    seen = scenes.scenes(count, seed)
    boxes = np.zeros((len(seen), scenes.MOST, 4), np.float32)
    classes = np.full((len(seen), scenes.MOST), -1, np.int64)
    for row, scene in enumerate(seen):
        boxes[row, : len(scene.boxes)] = scene.boxes
        classes[row, : len(scene.classes)] = scene.classes
    return {"inputs": np.stack([scene.pixels for scene in seen]), "boxes": boxes, "classes": classes}


if __name__ == "__main__":
    main()
