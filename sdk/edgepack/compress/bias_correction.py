"""Bias correction: subtract the mean error of a quantized layer's outputs from its bias.

Measured on samples, layer after layer, each with the corrections of the layers before it applied (Nagel et
al. 2019, arXiv:1906.04721, section 4.2 and appendix D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_map

from edgepack.compress.simulation import Simulation
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.ranges import Range
from edgepack.recipe import Recipe

_MOST = 32
"""Samples that are in memory at once, with two copies of each tensor."""


def correct(
    graph: GraphModule,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    samples: Samples,
    exact: GraphModule | None = None,
) -> None:
    """Correct the biases of the layers that `recipe` quantizes, in place.

    `ranges` are those that activations will be quantized by, by node name. `exact` is the float graph; it is
    required where the weights of `graph` are no longer the float ones. Samples whose shapes differ from the
    first one's are not used.
    """
    rows = [tuple(torch.from_numpy(array) for array in sample) for sample in samples.inputs[:_MOST]]
    same = [row for row in rows if [each.shape for each in row] == [each.shape for each in rows[0]]]
    pairs = [_Pair([row[n] for row in same], [row[n] for row in same]) for n in range(len(rows[0]))]
    correction = _Correction(graph, recipe, ranges, exact or graph)
    with torch.no_grad():
        correction.run(*pairs)
    for target, bias in correction.biases.items():
        graphs.set_constant(graph, target, bias)


class _Pair:
    """One tensor for all samples, in float and as the quantized model has it."""

    def __init__(self, exact: list[Tensor], quantized: list[Tensor]) -> None:
        self.exact, self.quantized = exact, quantized


class _Correction(Simulation):
    """Runs the float and the simulated graph in parallel, all samples at each operator."""

    def __init__(
        self, graph: GraphModule, recipe: Recipe, ranges: Mapping[str, Range], exact: GraphModule
    ) -> None:
        super().__init__(graph, recipe, ranges)
        self._exact = exact
        self.biases: dict[str, Tensor] = {}
        """Corrected biases by the target of their constant."""

    def run_node(self, n: Node) -> Any:
        if n.op not in ("call_function", "placeholder"):
            return self._constant(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "placeholder":
            value = getattr(self, n.op)(n.target, args, kwargs)
        else:
            value = self._call(n, args, kwargs)
        grid = self._grids.get(n.name)
        if grid and isinstance(value, _Pair):
            value.quantized = [grid.rounded(each) for each in value.quantized]
        return value

    def _constant(self, n: Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "call_module":  # torch.export's guards on its inputs, which return nothing
            return None
        if n.op == "get_attr":
            exact = graphs.constant(self._exact, n)
            quantized = graphs.constant(self.module, n)  # type: ignore[arg-type]
            return _Pair([exact], [self._weights.get(str(n.target), quantized)])
        return getattr(self, n.op)(n.target, args, kwargs)

    def _call(self, n: Node, args: Any, kwargs: Any) -> Any:
        count = max((len(pair.exact) for pair in _pairs((args, kwargs))), default=0)
        if not count:
            return getattr(self, n.op)(n.target, args, kwargs)
        exact = [self._call_once(n, args, kwargs, row, "exact") for row in range(count)]
        quantized = [self._call_once(n, args, kwargs, row, "quantized") for row in range(count)]
        if isinstance(exact[0], (list, tuple)):  # of `chunk` and the like
            return [_Pair(list(a), list(b)) for a, b in zip(zip(*exact), zip(*quantized))]
        if not isinstance(exact[0], Tensor):
            return exact[0]
        pair = _Pair(exact, quantized)
        if graphs.is_layer(n) and str(graphs.weight_of(n).target) in self._weights:
            self._correct(n, pair)
        return pair

    def _call_once(self, n: Node, args: Any, kwargs: Any, row: int, side: str) -> Any:
        """The operator's result for one sample, in float or quantized."""
        is_in_place = str(n.target).rpartition(".")[0].endswith("_")

        def pick(value: Any) -> Any:
            if not isinstance(value, _Pair):
                return value
            rows = getattr(value, side)
            picked = rows[row if len(rows) > 1 else 0]
            return picked.clone() if is_in_place else picked

        return n.target(*tree_map(pick, args), **tree_map(pick, kwargs))  # type: ignore[operator]

    def _correct(self, layer: Node, pair: _Pair) -> None:
        """Subtract the mean error of each output channel from the bias, and from the outputs at once."""
        bias = graphs.bias_of(layer)
        if bias is None:
            return
        axis = pair.exact[0].dim() - 1 if layer.target in graphs.LINEAR else 1
        error = torch.stack(
            [(b - a).transpose(0, axis).flatten(1).mean(1) for a, b in zip(pair.exact, pair.quantized)]
        ).mean(0)
        target = str(bias.target)
        current = self.biases.get(target, graphs.constant(self.module, bias))  # type: ignore[arg-type]
        self.biases[target] = current - error
        shape = [1] * pair.exact[0].dim()
        shape[axis] = -1
        pair.quantized = [each - error.reshape(shape) for each in pair.quantized]


def _pairs(value: Any) -> list[_Pair]:
    """All pairs in nested arguments."""
    if isinstance(value, _Pair):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [pair for item in value for pair in _pairs(item)] if isinstance(value, (list, tuple)) else []
