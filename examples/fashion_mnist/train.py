"""Train the network on the 60,000 training images, and evaluate it on the 10,000 test images.

    python train.py                 needs fetch.py to have run; 4 to 5 minutes on one core

Six epochs, AdamW under a one-cycle schedule, pictures mirrored at random, labels smoothed a
little. One thread and a fixed seed: the same machine writes the same weights each time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

import fashion
from model import net

HERE = Path(__file__).parent
MEAN, STD = 0.2860, 0.3530  # of the training images scaled to 0..1; also in edgepack.toml
BATCH = 128
PEAK_RATE = 0.01

Batch = tuple[torch.Tensor, torch.Tensor]  # images and labels


def main() -> None:
    """Train, evaluate, and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "weights.safetensors")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    # channels last is 1.4 times as fast on a CPU
    model = net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(model, arguments.epochs)
    print(f"accuracy on the 10,000 test pictures: {accuracy(model):.2%}")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    arguments.out.write_bytes(save(state))
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


def train(model: nn.Module, epochs: int) -> None:
    """Train ``model`` in place, and set it to eval mode."""
    images, labels = tensors("train60k")
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for batch, targets in batches(images, labels):
            loss = criterion(model(normalized(batch)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}: loss {total / len(images):.4f}, {seconds:.0f} s", flush=True)
    model.eval()


def batches(images: torch.Tensor, labels: torch.Tensor) -> Iterator[Batch]:
    """One epoch of full batches in random order; every other image is flipped horizontally."""
    order = torch.randperm(len(images))
    for start in range(0, len(images) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        batch = images[chosen]
        mirrored = torch.rand(BATCH) < 0.5
        yield torch.where(mirrored[:, None, None], batch.flip(-1), batch), labels[chosen]


@torch.inference_mode()
def accuracy(model: nn.Module) -> float:
    """The accuracy of ``model`` on the 10,000 test images."""
    images, labels = tensors("eval10k")
    answers = torch.cat([model(normalized(part)).argmax(1) for part in torch.split(images, 500)])
    return float((answers == labels).double().mean())


def tensors(part: fashion.Part) -> Batch:
    """Images as uint8 [N, 28, 28] and labels as int64 [N]."""
    pictures, labels = fashion.read(part)
    return torch.from_numpy(pictures), torch.from_numpy(labels)


def normalized(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 28, 28] to the input of the network: float32 [N, 1, 28, 28]."""
    scaled = (pictures.float() / 255 - MEAN) / STD
    return scaled.unsqueeze(1).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
