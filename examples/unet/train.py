"""Train the U-Net on generated scenes, and write its weights and samples.

    python train.py        two to three minutes on one core

Nothing is downloaded. It writes ``weights.safetensors``, 64 scenes to calibrate with and 100 to measure with
in ``data/``. One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # scenes.py serves several examples

import scenes

from model import UNet

HERE = Path(__file__).parent
SCENES, EPOCHS, BATCH, PEAK_RATE = 800, 12, 16, 0.01
CALIBRATION, EVALUATION = 64, 100


def main() -> None:
    """Train, and write weights and samples; print each path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = UNet()
    train(model, scenes.scenes(SCENES, seed=1), arguments.epochs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = arguments.out / "weights.safetensors"
    weights.write_bytes(save(model.state_dict()))
    print(weights)
    (arguments.out / "data").mkdir(exist_ok=True)
    for name, count, seed in (("calib", CALIBRATION, 2), ("eval", EVALUATION, 3)):
        seen = scenes.scenes(count, seed)
        path = arguments.out / "data" / f"{name}.npz"
        masks = np.stack([scene.mask for scene in seen])
        np.savez_compressed(path, inputs=np.stack([scene.pixels for scene in seen]), labels=masks)
        print(path)


def train(model: nn.Module, seen: list[scenes.Scene], epochs: int) -> None:
    """Train `model` in place, and set it to eval mode."""
    images = torch.from_numpy(np.stack([scene.pixels for scene in seen])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([scene.mask for scene in seen])).long()
    steps = epochs * (len(seen) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([0.25, 1.0, 1.0, 1.0]))  # most pixels are background
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(len(seen)).split(BATCH)[: len(seen) // BATCH]:
            loss = criterion(model(images[chosen].float() / 255), masks[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    model.eval()


if __name__ == "__main__":
    main()
