"""What the training scripts of the examples on generated data share.

One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

Model = TypeVar("Model", bound=nn.Module)
Arrays = Mapping[str, NDArray[Any]]
Loss = Callable[[torch.Tensor], torch.Tensor]
"""The loss of the samples with some numbers, int64 [batch]."""


def run(
    description: str | None,
    folder: Path,
    make: Callable[[], Model],
    train: Callable[[Model, int], None],
    samples: Callable[[int, int], Arrays],
    *,
    epochs: int,
    calibration: int,
    evaluation: int,
) -> None:
    """The command of a training script: write weights and samples, and print each path.

    `samples` takes a count and a seed.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--out", type=Path, default=folder, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = make()
    train(model, arguments.epochs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = arguments.out / "weights.safetensors"
    weights.write_bytes(save(model.state_dict()))
    print(weights)
    (arguments.out / "data").mkdir(exist_ok=True)
    for name, count, seed in (("calib", calibration, 2), ("eval", evaluation, 3)):
        path = arguments.out / "data" / f"{name}.npz"
        np.savez_compressed(path, allow_pickle=False, **samples(count, seed))
        print(path)


def fit(
    model: nn.Module,
    loss: Loss,
    *,
    samples: int,
    epochs: int,
    batch: int,
    peak_rate: float,
    most_gradient: float | None = None,
) -> None:
    """Train `model` in place, and set it to eval mode. `most_gradient` bounds the gradient's norm."""
    steps = epochs * (samples // batch)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = OneCycleLR(optimizer, peak_rate, total_steps=steps, pct_start=0.2)
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(samples).split(batch)[: samples // batch]:
            found = loss(chosen)
            optimizer.zero_grad()
            found.backward()
            if most_gradient is not None:
                nn.utils.clip_grad_norm_(model.parameters(), most_gradient)
            optimizer.step()
            schedule.step()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}: loss {found.item():.3f}, {seconds:.0f} s", flush=True)
    model.eval()
