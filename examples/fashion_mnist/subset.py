"""Make the part of Fashion-MNIST that is committed here: data/*.npz and pictures/*.png.

    python subset.py                run fetch.py first; the result is always the same

256 training images for calibration, 1,000 test images for evaluation, and one more test image
of each class as a file. Classes are balanced.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fashion

HERE = Path(__file__).parent
SEED = 0


def main() -> None:
    """Write the three parts next to this script."""
    random = np.random.default_rng(SEED)
    pictures, labels = fashion.read("train60k")
    chosen = balanced(labels, 256, random)
    fashion.save(HERE / "data" / "calib.npz", pictures[chosen], labels[chosen])

    pictures, labels = fashion.read("eval10k")
    chosen = balanced(labels, 1000, random)
    fashion.save(HERE / "data" / "eval.npz", pictures[chosen], labels[chosen])

    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    for number, name in enumerate((HERE / "labels.txt").read_text().splitlines()):
        first = rest[labels[rest] == number][0]
        file_name = name.lower().replace("/", "-").replace(" ", "-") + ".png"
        Image.fromarray(pictures[first]).save(HERE / "pictures" / file_name, optimize=True)


def balanced(labels: fashion.Labels, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Shuffled indices of ``count`` samples, with equally many of each class (or one more)."""
    ranks = np.empty(len(labels), np.int64)  # position of a sample within its class
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        ranks[members] = random.permutation(len(members))
    taken = np.lexsort((labels, ranks))[:count]
    return random.permutation(taken)


if __name__ == "__main__":
    main()
