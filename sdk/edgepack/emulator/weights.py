"""A file's weights in the place of the model's: what their compression does, computed in torch.

For files whose own runtime is not on this host. It shows what the stored weights lost, and nothing of
the runtime's arithmetic, speed or placement.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.compress import graph
from edgepack.errors import ExportError
from edgepack.samples import Array, Sample
from edgepack.source import Source, tensors

Weights = Mapping[str, tuple[Array, Array | None]]
"""Weight and, where it is stored apart, bias of each layer, by module path, as the model has them."""


def answers(source: Source, weights: Weights) -> tuple[Sample, ...]:
    """What the model answers to the evaluation samples with the weights that were read back.

    Raises ExportError where a layer of the model is not among them, or has another shape.
    """
    module = source.exported.module()
    for path, layer in graph.layers(module).items():
        if path not in weights:
            raise ExportError(f"the written file holds no weight of layer {path}")
        weight, bias = weights[path]
        _put(module, str(graph.weight_of(layer).target), weight)
        if bias is not None and (own := graph.bias_of(layer)):
            _put(module, str(own.target), bias)
    with torch.no_grad():
        return tuple(
            tuple(each.numpy() for each in module(*tensors(sample))) for sample in source.evaluation.inputs
        )


def _put(module: torch.nn.Module, target: str, value: Array) -> None:
    held = module.get_parameter(target)
    if tuple(held.shape) != value.shape:
        raise ExportError(
            f"the written file holds {target} as {value.shape}, the model as {tuple(held.shape)}"
        )
    graph.set_constant(module, target, torch.from_numpy(value.astype("float32")))  # type: ignore[arg-type]
