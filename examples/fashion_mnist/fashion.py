"""The complete Fashion-MNIST that ``fetch.py`` downloads: its folder, and how to read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs
from numpy.typing import NDArray

Part = Literal["train60k", "eval10k"]
Pictures = NDArray[np.uint8]  # [N, 28, 28], 0 is the background
Labels = NDArray[np.int64]  # [N], a line of labels.txt, counted from 0


def folder() -> Path:
    """The folder of ``train60k.npz`` and ``eval10k.npz``; it may not exist yet."""
    cache = os.environ.get("EDGEPACK_CACHE") or platformdirs.user_cache_dir("edgepack")
    return Path(cache) / "fashion_mnist"


def read(part: Part) -> tuple[Pictures, Labels]:
    """All images of one part with their labels.

    Raises SystemExit if ``fetch.py`` has not been run.
    """
    path = folder() / f"{part}.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing: run `python fetch.py` first")
    return load(path)


def load(path: Path) -> tuple[Pictures, Labels]:
    """The images and labels of one ``.npz`` file."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["inputs"], arrays["labels"]


def save(path: Path, pictures: Pictures, labels: Labels) -> None:
    """Write images and labels as edgepack reads them; the same input gives the same bytes."""
    np.savez_compressed(path, inputs=pictures, labels=labels.astype(np.int64))
