"""A small network with an output of every kind: where one coloured blob is in an image, and which colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

SIZE, CLASSES = 16, 3


def scenes(count: int, seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Images [count, 3, 16, 16] with a blob in one channel, and its place (x, y, 0..1) and class."""
    draw = np.random.default_rng(seed)
    place, number = draw.uniform(0.2, 0.8, (count, 2)), draw.integers(0, CLASSES, count)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    far = (xs - place[:, 0, None, None]) ** 2 + (ys - place[:, 1, None, None]) ** 2
    images = draw.normal(0, 0.05, (count, 3, SIZE, SIZE))
    images[np.arange(count), number] += 2 * np.exp(-far / 0.02)
    return images.astype(np.float32), place.astype(np.float32), number, far < 0.02


class Scene(nn.Module):
    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
        self.flat = nn.Sequential(nn.Conv2d(32, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 48), nn.ReLU())
        self.numbers, self.tags, self.vector = nn.Linear(48, 2), nn.Linear(48, 3), nn.Linear(48, 16)
        self.pixels = nn.ConvTranspose2d(32, CLASSES + 1, 2, 2)
        self.cells = nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 4 + CLASSES, 1))
        grid = torch.stack(torch.meshgrid(*[torch.arange(4) / 4 + 0.125] * 2, indexing="ij")[::-1])
        self.register_buffer("grid", grid.reshape(1, 2, 16).transpose(1, 2).contiguous())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.stem(x)
        flat, pixels = self.flat(features), self.pixels(features)
        tags = self.tags(flat)
        cells = self.cells(features).flatten(2).transpose(1, 2)
        boxes = torch.cat([self.grid + 0.3 * torch.tanh(cells[..., :2]), torch.sigmoid(cells[..., 2:4])], -1)
        return {
            "boxes": boxes,
            "scores": cells[..., 4:],
            "numbers": self.numbers(flat) * torch.tensor([3.0, 0.2]) + torch.tensor([300.0, 0.5]),
            "decision": tags[:, :1],
            "tags": tags,
            "pixels": pixels,
            "map": pixels.argmax(1),
            "vector": functional.normalize(self.vector(flat), dim=1) + 2,
            "steps": pixels.amax(2).transpose(1, 2),
        }


def net() -> Scene:
    return Scene()


def train(model: Scene, steps: int = 250) -> float:
    """Adam on batches of 48 scenes."""
    images, place, number, inside = (torch.from_numpy(np.asarray(each)) for each in scenes(1500, 0))
    classes = torch.where(inside, number[:, None, None] + 1, 0)
    tags = torch.stack([place[:, 0] > 0.5, place[:, 1] > 0.5, number == 2], 1).float()
    target = torch.cat([torch.sin(6 * place), torch.cos(6 * place), functional.one_hot(number, 3)], 1)
    target = functional.normalize(
        target @ torch.randn(7, 16, generator=torch.Generator().manual_seed(0)), dim=1
    )
    cell = (place * 4).long()
    cell = cell[:, 1] * 4 + cell[:, 0]
    found = torch.zeros(len(images), 16, CLASSES)
    found[torch.arange(len(images)), cell, number] = 1
    standard = (place - 0.5) / 0.17
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        i = torch.randint(0, len(images), (48,), generator=draw)
        out = model(images[i])
        numbers = (out["numbers"] - torch.tensor([300.0, 0.5])) / torch.tensor([3.0, 0.2])
        box = out["boxes"][torch.arange(48), cell[i]]
        wanted = torch.cat([place[i], torch.full((48, 2), 0.3)], 1)
        loss = (
            functional.mse_loss(numbers, standard[i])
            + functional.binary_cross_entropy_with_logits(out["tags"], tags[i])
            + 2 * functional.cross_entropy(out["pixels"], classes[i])
            + 5 * functional.mse_loss(out["vector"] - 2, target[i])
            + 5 * functional.binary_cross_entropy_with_logits(out["scores"], found[i])
            + 30 * functional.mse_loss(box, wanted)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())
