"""Train a tutorial network in seconds, and write it in every supported model format.

    python train.py lenet --out lenet/          or: mlp, mnist, linear

It writes ``weights.pth`` and ``weights.safetensors`` (state dicts), ``traced.pt`` and
``scripted.pt`` (TorchScript), ``exported.pt2`` (torch.export) and ``samples.npz`` (256 samples
outside the training set, with labels). Nothing is downloaded: the data are the 1,256 images
in ``../fashion_mnist/data``, and generated points for the MLP.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn
from torch.nn import functional

import nets

DATA = Path(__file__).parent.parent / "fashion_mnist" / "data"
MEAN, STD = 0.2860, 0.3530  # of Fashion-MNIST

NETS: dict[str, Callable[[], nn.Module]] = {
    "lenet": nets.lenet,
    "mlp": nets.mlp,
    "mnist": nets.mnist,
    "linear": nets.linear,
}
EPOCHS = {"lenet": 15, "mlp": 30, "mnist": 5, "linear": 15}
BATCH = 32
SAMPLES = 256

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


def trained(name: str, seed: int = 0) -> nn.Module:
    """The network ``name`` after a short training, in eval mode; the same seed gives the same weights.

    Raises KeyError if there is no such network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NETS[name]()
        inputs, labels = (torch.from_numpy(array) for array in _data(name, training=True))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
        criterion = nn.CrossEntropyLoss()  # of logits; log-probabilities are logits as well
        model.train()
        for _ in range(EPOCHS[name]):
            for chosen in torch.split(torch.randperm(len(inputs)), BATCH):
                loss = criterion(model(inputs[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


def samples(name: str) -> Arrays:
    """256 samples for the network ``name`` that are not in its training set, and their labels.

    float32 [256, 3, 32, 32] (lenet), [256, 10] (mlp), [256, 1, 28, 28] (mnist) or [256, 784]
    (linear), normalized; int64 [256].
    """
    return _data(name, training=False)


def _data(name: str, training: bool) -> Arrays:
    if name == "mlp":
        return _points(training)
    with np.load(DATA / ("eval.npz" if training else "calib.npz")) as arrays:
        pictures, labels = torch.from_numpy(arrays["inputs"]), arrays["labels"]
    inputs = (pictures.float().unsqueeze(1) / 255 - MEAN) / STD
    if name == "lenet":
        inputs = functional.interpolate(inputs, (32, 32), mode="bilinear").repeat(1, 3, 1, 1)
    elif name == "linear":
        inputs = inputs.flatten(1)
    return inputs.numpy(), labels


def _points(training: bool) -> Arrays:
    """Points around the origin. Those far from a plane through it are class 1: no plane separates them."""
    random = np.random.default_rng(0)
    normal = random.normal(size=10)
    points = random.normal(size=(2000 + SAMPLES, 10))
    distances = np.abs(points @ normal) / np.linalg.norm(normal)
    chosen = slice(None, 2000) if training else slice(2000, None)
    far = distances > 0.6745  # half of a normal distribution
    return points[chosen].astype(np.float32), far[chosen].astype(np.int64)


def write(name: str, folder: Path) -> None:
    """Train ``name`` and write it in all formats into ``folder``."""
    model = trained(name)
    inputs, labels = samples(name)
    with torch.inference_mode():
        accuracy = float(np.mean(model(torch.from_numpy(inputs)).argmax(1).numpy() == labels))
    print(f"{name}: {accuracy:.1%} of {len(labels)} samples right")
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pth")
    (folder / "weights.safetensors").write_bytes(save(model.state_dict()))
    example = torch.from_numpy(inputs[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated
        torch.jit.save(torch.jit.trace(model, example), folder / "traced.pt")
        torch.jit.save(torch.jit.script(model), folder / "scripted.pt")
    torch.export.save(torch.export.export(model, (example,)), folder / "exported.pt2")
    np.savez_compressed(folder / "samples.npz", inputs=inputs, labels=labels)


def main() -> None:
    """Train one network and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=NETS)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    write(arguments.name, arguments.out)


if __name__ == "__main__":
    main()
