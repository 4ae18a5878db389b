"""Random weights made meaningful: normalization measured on samples, and a classifier fitted to classes.

A network with weights as initialized is no test: layer scales of 1e-6 switch its blocks off, its running
statistics are not those of its activations, and its scores hardly differ between samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from benchmarks.zoo import samples
from benchmarks.zoo.architecture import Architecture

_FITTED = 96
"""Samples that the classifier is fitted to."""
_BATCH = 64
"""Samples whose statistics batch normalization takes."""
_SWITCHED_OFF = 1e-3
"""A scale of at most this size switches its block off."""


class DegenerateError(Exception):
    """The outputs of a network do not differ between samples, or are not finite."""


def prepare(architecture: Architecture) -> nn.Module:
    """The network, always with the same weights. Raises DegenerateError if its outputs say nothing."""
    torch.manual_seed(0)
    module = architecture.make().eval()
    _switch_on(module)
    arrays, classes = samples.make(architecture.feeds, _FITTED, seed=1)
    inputs = [torch.from_numpy(array) for array in arrays.values()]
    with torch.no_grad():
        _measure_normalization(module, [each[:_BATCH].flatten(0, 1) for each in inputs])
        rows = [tuple(each[n] for each in inputs) for n in range(_FITTED)]
        _fit_classifier(module, rows, classes)
        _check(architecture, module, rows[:_BATCH])
    return module


def _switch_on(module: nn.Module) -> None:
    """Give every scale that is zero or nearly so a usual value."""
    for name, parameter in module.named_parameters():
        flat = parameter.detach().flatten()
        constant = len(flat) > 1 and bool((flat == flat[0]).all()) and abs(float(flat[0])) <= _SWITCHED_OFF
        if not constant or name.endswith("bias"):
            continue
        with torch.no_grad():
            if max(parameter.shape) == parameter.numel():
                parameter.fill_(0.5)
            else:
                nn.init.normal_(parameter, std=0.02)


def _measure_normalization(module: nn.Module, batch: list[torch.Tensor]) -> None:
    """Set the running statistics of every batch normalization to those of a batch."""
    layers = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    if layers:
        module(*batch)
    module.eval()


def _fit_classifier(
    module: nn.Module, rows: list[tuple[torch.Tensor, ...]], classes: NDArray[np.int64]
) -> None:
    """Fit the last linear layer to the classes by ridge regression, if its output is the model's."""
    seen: dict[str, Any] = {}

    def remember(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.update(layer=layer, features=inputs[0], output=output)

    hooks = [part.register_forward_hook(remember) for part in module.modules() if type(part) is nn.Linear]
    features = []
    for row in rows:
        last = tree_leaves(module(*row))[0]
        if not seen or seen["output"].shape != last.shape or not torch.equal(seen["output"], last):
            break
        if last.ndim != 2 or last.shape[1] < samples.CLASSES:
            break
        features.append(seen["features"][0])
    for hook in hooks:
        hook.remove()
    if len(features) == len(rows):
        _solve(seen["layer"], torch.stack(features).double(), torch.from_numpy(classes))


def _solve(layer: nn.Linear, features: torch.Tensor, classes: torch.Tensor) -> None:
    """Ridge regression in its dual form, with as many unknowns as samples."""
    wanted = torch.full((len(classes), layer.out_features), -1.0, dtype=torch.double)
    wanted[torch.arange(len(classes)), classes] = 4.0
    mean, target = features.mean(0), wanted.mean(0)
    centered = features - mean
    kernel = centered @ centered.T
    kernel += torch.eye(len(kernel)) * kernel.diagonal().mean() * 0.01
    weight = torch.linalg.solve(kernel, wanted - target).T @ centered
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(target - weight @ mean)


def _check(architecture: Architecture, module: nn.Module, rows: list[tuple[torch.Tensor, ...]]) -> None:
    outputs = [[leaf for leaf in tree_leaves(module(*row)) if isinstance(leaf, torch.Tensor)] for row in rows]
    for number, values in enumerate(zip(*outputs)):
        stacked = torch.stack([value.double() for value in values])
        if not bool(stacked.isfinite().all()):
            raise DegenerateError(f"{architecture.name}: output {number} is not finite")
        if float(stacked.std(0).mean()) <= 1e-4 * float(stacked.abs().mean() + 1e-12):
            raise DegenerateError(f"{architecture.name}: output {number} is the same for every sample")
