"""Train the recognizer on rendered text, and write its weights and samples.

    python train.py        two to three minutes on one core

Nothing is downloaded. It writes ``weights.safetensors``, 64 lines to calibrate with and 300 to measure with
in ``data/``. One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

import lines
from model import Recognizer

HERE = Path(__file__).parent
LINES, EPOCHS, BATCH, PEAK_RATE = 4000, 10, 32, 0.006
CALIBRATION, EVALUATION = 64, 300


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
    model = Recognizer()
    train(model, arguments.epochs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = arguments.out / "weights.safetensors"
    weights.write_bytes(save(model.state_dict()))
    print(weights)
    (arguments.out / "data").mkdir(exist_ok=True)
    for name, count, seed in (("calib", CALIBRATION, 2), ("eval", EVALUATION, 3)):
        images, classes = lines.rendered(count, seed)
        path = arguments.out / "data" / f"{name}.npz"
        np.savez_compressed(path, inputs=images, labels=classes)
        print(path)


def train(model: nn.Module, epochs: int) -> None:
    """Train `model` in place, and set it to eval mode."""
    images, classes = (torch.from_numpy(each) for each in lines.rendered(LINES, seed=1))
    inputs = images.unsqueeze(1).float() / 127.5 - 1
    steps = epochs * (LINES // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    criterion = nn.CTCLoss()
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(LINES).split(BATCH)[: LINES // BATCH]:
            scores = model(inputs[chosen]).log_softmax(2).transpose(0, 1)
            lengths = torch.full((BATCH,), len(scores))
            loss = criterion(scores, classes[chosen], lengths, (classes[chosen] >= 0).sum(1))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    model.eval()


if __name__ == "__main__":
    main()
