"""Run a network in torch with the decompressed weights of a Core ML package.

    python -m benchmarks.dense NET PACKAGE SAMPLES OUTPUTS

loads the weights of PACKAGE into the network in the folder NET of an example, runs it on SAMPLES, and writes
its outputs into OUTPUTS. This shows the error of compressed weights on hosts without Core ML, but not that of
Core ML's arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental.optimization import fuse

from benchmarks import exports
from edgepack.emulator import job

_UNLIKE = 0.5
"""Relative difference from which weights belong to another layer."""


def _stored(package: Path) -> list[torch.Tensor]:
    """Decompressed constants of more than 2,048 values: coremltools compresses no smaller ones."""
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    model: Any = ct.models.MLModel(str(package), skip_model_load=True)
    constants = cto.get_weights_metadata(cto.decompress_weights(model))
    return [torch.tensor(constant.val, dtype=torch.float32) for constant in constants.values()]


def _nearest(weight: torch.Tensor, stored: Sequence[torch.Tensor]) -> torch.Tensor:
    """The stored weights of the layer with `weight`. Raises ValueError if there are none."""
    candidates = [tensor for tensor in stored if tensor.shape == weight.shape]
    nearest = min(candidates, key=lambda tensor: float((tensor - weight).norm()), default=None)
    if nearest is None or float((nearest - weight).norm()) >= _UNLIKE * float(weight.norm()):
        raise ValueError(f"the package has no weights for a layer of shape {tuple(weight.shape)}")
    return nearest


def _filled(net: torch.nn.Module, package: Path) -> torch.nn.Module:
    """`net` with the weights of the package, and batch norms folded as in the conversion."""
    folded: torch.nn.Module = fuse(net)
    stored = _stored(package)
    smallest = min(tensor.numel() for tensor in stored)
    for layer in folded.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)) and layer.weight.numel() >= smallest:
            layer.weight.data = _nearest(layer.weight.data, stored)
    return folded


def main(net: Path, package: Path, samples: Path, outputs: Path) -> None:
    """Write the outputs with `edgepack.emulator.job.write_samples`."""
    torch.set_num_threads(1)
    filled = _filled(exports.network(net), package)
    with torch.no_grad():
        results = [filled(torch.from_numpy(row[0])) for row in job.read_samples(samples)]
    job.write_samples(tuple((result.numpy(),) for result in results), outputs)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
