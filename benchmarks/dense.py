"""Dense: what a Core ML package would answer, by torch with the weights that stand in the package.

    python -m benchmarks.dense NET PACKAGE SAMPLES OUTPUTS

puts the decompressed weights of PACKAGE into the network in the example's folder NET, and writes what
that answers to SAMPLES into OUTPUTS. It shows what compressed weights cost where there is no Core ML,
not Core ML's own arithmetic.
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
"""Weights that differ from a layer's by this share of its norm or more are another layer's."""


def _stored(package: Path) -> list[torch.Tensor]:
    """The package's decompressed constants of more than 2,048 values; coremltools compresses no others."""
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    model: Any = ct.models.MLModel(str(package), skip_model_load=True)
    constants = cto.get_weights_metadata(cto.decompress_weights(model))
    return [torch.tensor(each.val, dtype=torch.float32) for each in constants.values()]


def _nearest(weight: torch.Tensor, stored: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of `stored`, the one that `weight` has become. Raises ValueError where none is like it."""
    alike = [each for each in stored if each.shape == weight.shape]
    found = min(alike, key=lambda each: float((each - weight).norm()), default=None)
    if found is None or float((found - weight).norm()) >= _UNLIKE * float(weight.norm()):
        raise ValueError(f"no weights of the package are those of a layer of shape {tuple(weight.shape)}")
    return found


def _filled(net: torch.nn.Module, package: Path) -> torch.nn.Module:
    """`net`, batch norm folded as the conversion does, with the package's weights."""
    folded: torch.nn.Module = fuse(net)
    stored = _stored(package)
    smallest = min(each.numel() for each in stored)
    for layer in folded.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)) and layer.weight.numel() >= smallest:
            layer.weight.data = _nearest(layer.weight.data, stored)
    return folded


def main(net: Path, package: Path, samples: Path, outputs: Path) -> None:
    """Write the outputs as `edgepack.evaluate.host` writes samples."""
    torch.set_num_threads(1)
    filled = _filled(exports.network(net), package)
    with torch.no_grad():
        answers = [filled(torch.from_numpy(row[0])) for row in job.read_samples(samples)]
    job.write_samples(tuple((each.numpy(),) for each in answers), outputs)


if __name__ == "__main__":
    main(*(Path(each) for each in sys.argv[1:]))
