"""Bias correction: the mean error that quantization leaves in a layer's outputs, taken out of its bias.

Measured on samples, layer after layer, each with the corrections of those before it in place
(Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_map

from edgepack.compress.simulation import Simulation
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.ranges import Range
from edgepack.recipe import Recipe

_MOST = 32
"""Samples that are held in memory at once, every tensor of them twice."""


def correct(
    graph: GraphModule,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    samples: Samples,
    exact: GraphModule | None = None,
) -> None:
    """Correct the biases of the layers that `recipe` quantizes, in place.

    `ranges` are those that the activations will be quantized by; `exact` is the float graph where the
    weights of `graph` are no longer those.
    """
    rows = [tuple(torch.from_numpy(array) for array in sample) for sample in samples.inputs[:_MOST]]
    same = [row for row in rows if [each.shape for each in row] == [each.shape for each in rows[0]]]
    pairs = [_Pair([row[n] for row in same], [row[n] for row in same]) for n in range(len(rows[0]))]
    correction = _Correction(graph, recipe, ranges, exact or graph)
    with torch.no_grad():
        correction.run(*pairs)
    for target, bias in correction.found.items():
        graphs.set_constant(graph, target, bias)


class _Pair:
    """One tensor of all samples, in float and as the quantized model has it."""

    def __init__(self, exact: list[torch.Tensor], rough: list[torch.Tensor]) -> None:
        self.exact, self.rough = exact, rough


class _Correction(Simulation):
    """Runs float and simulated int8 side by side, all samples at each operator."""

    def __init__(
        self, graph: GraphModule, recipe: Recipe, ranges: Mapping[str, Range], exact: GraphModule
    ) -> None:
        super().__init__(graph, recipe, ranges)
        self._exact = exact
        self.found: dict[str, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        if n.op not in ("call_function", "placeholder"):
            return self._constant(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "placeholder":
            value = getattr(self, n.op)(n.target, args, kwargs)
        else:
            value = self._called(n, args, kwargs)
        step = self._steps.get(n.name)
        if step and isinstance(value, _Pair):
            value.rough = [torch.fake_quantize_per_tensor_affine(each, *step, 0, 255) for each in value.rough]
        return value

    def _constant(self, n: Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "call_module":  # torch.export's guards on its inputs, which give nothing
            return None
        if n.op == "get_attr":
            exact = graphs.constant(self._exact, n)
            rough = graphs.constant(self.module, n)  # type: ignore[arg-type]
            return _Pair([exact], [self._weights.get(str(n.target), rough)])
        return getattr(self, n.op)(n.target, args, kwargs)

    def _called(self, n: Node, args: Any, kwargs: Any) -> Any:
        count = max((len(each.exact) for each in _pairs((args, kwargs))), default=0)
        if not count:
            return getattr(self, n.op)(n.target, args, kwargs)
        exact = [self._once(n, args, kwargs, row, "exact") for row in range(count)]
        rough = [self._once(n, args, kwargs, row, "rough") for row in range(count)]
        if isinstance(exact[0], (list, tuple)):  # of `chunk` and the like
            return [_Pair(list(a), list(b)) for a, b in zip(zip(*exact), zip(*rough))]
        if not isinstance(exact[0], torch.Tensor):
            return exact[0]
        pair = _Pair(exact, rough)
        if graphs.is_layer(n) and str(graphs.weight_of(n).target) in self._weights:
            self._correct(n, pair)
        return pair

    def _once(self, n: Node, args: Any, kwargs: Any, row: int, side: str) -> Any:
        def pick(value: Any) -> Any:
            if not isinstance(value, _Pair):
                return value
            rows = getattr(value, side)
            picked = rows[row if len(rows) > 1 else 0]
            return picked.clone() if str(n.target).rpartition(".")[0].endswith("_") else picked

        return n.target(*tree_map(pick, args), **tree_map(pick, kwargs))  # type: ignore[operator]

    def _correct(self, layer: Node, pair: _Pair) -> None:
        """Take the mean difference a channel out of the bias, and out of the values at once."""
        bias = graphs.bias_of(layer)
        if bias is None:
            return
        axis = pair.exact[0].dim() - 1 if layer.target in graphs.LINEAR else 1
        error = torch.stack(
            [(b - a).transpose(0, axis).flatten(1).mean(1) for a, b in zip(pair.exact, pair.rough)]
        ).mean(0)
        target = str(bias.target)
        self.found[target] = self.found.get(target, graphs.constant(self.module, bias)) - error  # type: ignore[arg-type]
        shape = [1] * pair.exact[0].dim()
        shape[axis] = -1
        pair.rough = [each - error.reshape(shape) for each in pair.rough]


def _pairs(value: Any) -> list[_Pair]:
    if isinstance(value, _Pair):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [each for item in value for each in _pairs(item)] if isinstance(value, (list, tuple)) else []
