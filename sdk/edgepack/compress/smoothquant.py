"""SmoothQuant: scales of channels that make activations easy to quantize at run time (Xiao et al. 2022,
arXiv:2211.10438).

A few channels of a transformer's activations are tens of times greater than the rest, and set the scale of
all. Each channel of what a linear layer reads is divided by a scale, by which the layer's weights are
multiplied: the float outputs stay. Where a layer normalization alone gives the channels, and only such layers
read them, its weight takes the division; elsewhere one multiplication is added to the graph.

Where single channels are still so great that they decide the step, they are taken out and multiplied in float
(Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339).

The paper takes the scales from the greatest activation and weight of a channel and one exponent. Here they
minimize the predicted energy of the quantization noise at the outputs, beginning with the best exponent: for
each rounding step d, d^2 / 12 times the squared gradients of the outputs (see `noise_sensitivity.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgepack.compress.noise_sensitivity import Differentiable, signed_sum
from edgepack.compress.scale_groups import shared_constants
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ATEN
from edgepack.graph.quantization_grid import greatest_code, greatest_weight_code
from edgepack.scheme import Scheme

_SAMPLES = 32
"""Samples that are run, forwards and backwards."""
_ROWS = 256
"""Rows, about, that each layer's noise is predicted for."""
_EXPONENTS = (0.4, 0.55, 0.7, 0.85)
_STEPS, _RATE = 30, 0.08
_SHARPNESS = 20.0
"""Exponent of the norm that stands for a maximum during the search."""
_GPTQ = 0.3
"""Share of the weights' noise that GPTQ leaves, about."""
_WORTH, _SHARE = 0.7, 0.01
"""Scales are used where they leave at most the first share of a layer's noise, and save at least the second
share of the noise of all layers."""
_OUTLIERS, _SPLIT, _MOST_NOISE = 8, 0.4, 0.04
"""Channels that are taken out of one input; where at most the second share of the noise is left without them,
and an input has more than the third share of all noise."""
_LEAST = 1e-8


def smooth(
    graph: GraphModule, samples: Samples, schemes: Mapping[str, Scheme], *, rows: bool, inside: str
) -> int:
    """Scale what the linear layers with dynamic activations in `schemes`, by module path, read.

    `rows`: the runtime has a scale for each row of activations, not one for a tensor. `inside`: the
    activation that the graph applies to its first output. The graph is changed in place. Returns how many
    inputs are scaled.
    """
    groups = _groups(graph, schemes)
    if not groups:
        return 0
    statistics = _measured(graph, groups, samples, inside, rows=rows)
    found = {
        read: _scales(statistics[read], _weights(graph, layers), schemes[graphs.scope(layers[0])])
        for read, layers in groups.items()
        if read in statistics
    }
    with torch.enable_grad():
        for each in found.values():
            each.search()
        most = _MOST_NOISE * sum(each.after for each in found.values())
        for each in found.values():
            if each.after > most:
                each.split()
    total = sum(each.before for each in found.values())
    used = {
        read: each
        for read, each in found.items()
        if each.after <= _WORTH * each.before and each.before - each.after >= _SHARE * total
    }
    for number, (read, each) in enumerate(used.items()):
        name = f"{graphs.ADDED}_{number}"
        if len(each.outliers):
            _multiply_apart(graph, read, groups[read], each.outliers, name)
        _apply(graph, read, groups[read], each.scales, name)
    graph.recompile()
    return len(used)


def _groups(graph: GraphModule, schemes: Mapping[str, Scheme]) -> dict[Node, list[Node]]:
    """Linear layers with dynamic activations by what they read, if no other node reads their weights."""
    shared = shared_constants(graph)
    groups: defaultdict[Node, list[Node]] = defaultdict(list)
    left_out: set[Node] = set()
    for layer in graph.graph.nodes:
        if layer.target not in graphs.LINEAR or not graphs.is_layer(layer):
            continue
        scheme = schemes.get(graphs.scope(layer))
        if scheme is None or not scheme.has_dynamic_activations:
            continue
        groups[layer.args[0]].append(layer)
        if str(graphs.weight_of(layer).target) in shared:
            left_out.add(layer.args[0])
    return {read: layers for read, layers in groups.items() if read not in left_out}


def _weights(graph: GraphModule, layers: list[Node]) -> Tensor:
    """The weights of layers that read one tensor, [outputs of all, inputs]."""
    return torch.cat([graphs.constant(graph, graphs.weight_of(layer)).detach() for layer in layers])


@dataclass
class _Statistics:
    """What a group of layers reads, and what errors there do at the outputs. R stands for parts of the
    activations that have a scale of their own: rows or samples."""

    high: list[Tensor] = field(default_factory=list)
    """[R, inputs]: the greatest value of each channel."""
    low: list[Tensor] = field(default_factory=list)
    energies: list[Tensor] = field(default_factory=list)
    """[R, inputs]: energy at the outputs for an error of energy 1 in every row of a channel."""
    by_weight: Tensor | None = None
    """[outputs, inputs]: the same for each weight."""


def _measured(
    graph: GraphModule, groups: Mapping[Node, list[Node]], samples: Samples, inside: str, *, rows: bool
) -> dict[Node, _Statistics]:
    """Statistics by what layers read. An input that no gradient reaches is left out."""
    run = _Run(graph, {layer for layers in groups.values() for layer in layers})
    generator = torch.Generator().manual_seed(0)
    found: defaultdict[Node, _Statistics] = defaultdict(_Statistics)
    count = min(_SAMPLES, len(samples))
    for sample in samples.inputs[:count]:
        with torch.enable_grad():
            total = signed_sum(run.run(*(torch.from_numpy(array) for array in sample)), inside, generator)
            if total is None:
                return {}
            total.backward()
        with torch.no_grad():
            for read, layers in groups.items():
                if all(run.outputs[layer].grad is not None for layer in layers):
                    _add(found[read], graph, run, read, layers, _ROWS // count if rows else 0)
        run.clear()
    return dict(found)


def _add(
    found: _Statistics, graph: GraphModule, run: _Run, read: Node, layers: list[Node], rows: int
) -> None:
    """Add one sample; `rows`: how many rows are kept apart, 0 for a scale of the whole tensor."""
    values = run.inputs[read].reshape(-1, run.inputs[read].shape[-1])
    squares = [run.outputs[layer].grad.flatten(0, -2).square() for layer in layers]  # type: ignore[union-attr]
    gradients = torch.cat(squares, 1)
    energies = gradients @ _weights(graph, layers).square()
    weights = gradients.T @ values.square()
    found.by_weight = weights if found.by_weight is None else found.by_weight + weights
    if rows:
        kept = slice(None, None, max(1, len(values) // rows))
        found.high.append(values[kept])
        found.low.append(values[kept])
        found.energies.append(energies[kept] * len(values) / len(values[kept]))
    else:
        found.high.append(values.amax(0, keepdim=True))
        found.low.append(values.amin(0, keepdim=True))
        found.energies.append(energies.sum(0, keepdim=True))


class _Run(Differentiable):
    """Runs a graph and keeps what some layers read and give, for a backward pass."""

    def __init__(self, graph: GraphModule, layers: set[Node]) -> None:
        super().__init__(graph)
        self._layers = layers
        self.inputs: dict[Node, Tensor] = {}
        self.outputs: dict[Node, Tensor] = {}

    def clear(self) -> None:
        """Forget the sample."""
        self.inputs, self.outputs = {}, {}

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.detach() if isinstance(value, Tensor) else value

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self._layers:
            read = n.args[0]
            assert isinstance(read, Node)
            self.inputs[read] = self.env[read].detach()
            value = value if value.requires_grad else value.detach().requires_grad_()
            value.retain_grad()
            self.outputs[n] = value
        return value


def _scales(statistics: _Statistics, weights: Tensor, scheme: Scheme) -> _Scales:
    assert statistics.by_weight is not None
    high, low, energies = (torch.cat(each) for each in (statistics.high, statistics.low, statistics.energies))
    return _Scales(_Measured(high, low, energies, statistics.by_weight, weights.abs()), scheme)


@dataclass(frozen=True)
class _Measured:
    """What `_Statistics` has, joined, with absolute weights [outputs, inputs]."""

    high: Tensor
    low: Tensor
    energies: Tensor
    by_weight: Tensor
    weights: Tensor

    def of(self, kept: Tensor) -> _Measured:
        """The same for some of the inputs."""
        high, low, energies = self.high[:, kept], self.low[:, kept], self.energies[:, kept]
        return _Measured(high, low, energies, self.by_weight[:, kept], self.weights[:, kept])


class _Scales:
    """The scales of one input, and the noise that it predicts without and with them."""

    def __init__(self, measured: _Measured, scheme: Scheme) -> None:
        self._measured, self._scheme = measured, scheme
        self._steps = greatest_code(scheme.activation_bits)
        self._last = greatest_weight_code(scheme.weight_bits)
        self._greatest = torch.maximum(measured.high.amax(0), -measured.low.amin(0)).clamp_min(_LEAST)
        self.scales = torch.ones(measured.weights.shape[1])
        self.outliers = torch.zeros(0, dtype=torch.long)
        """Channels that are multiplied in float; their scales are infinite."""
        self.before = self.after = float(self._noise(self.scales, _amax))

    def split(self) -> None:
        """Take the greatest channels out, if that leaves little of the noise."""
        order = self._greatest.argsort(descending=True, stable=True)
        kept = order[_OUTLIERS:].sort().values
        if len(kept) < _OUTLIERS:
            return
        rest = _Scales(self._measured.of(kept), self._scheme)
        rest.search()
        if rest.after <= _SPLIT * self.after:
            self.outliers, self.after = order[:_OUTLIERS].sort().values, rest.after
            self.scales = torch.full_like(self.scales, torch.inf).index_copy(0, kept, rest.scales)

    def search(self) -> None:
        """Set `scales` to those with the least noise, and `after` to that noise."""
        weights = self._measured.weights.amax(0).clamp_min(_LEAST)
        for exponent in _EXPONENTS:
            self._take(self._greatest**exponent / weights ** (1 - exponent))
        logs = self.scales.log().requires_grad_()
        optimizer = torch.optim.Adam([logs], lr=_RATE)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            noise = self._noise(logs.exp(), _norm)
            if not noise.isfinite() or noise <= 0:
                break
            noise.log().backward()
            optimizer.step()
            decay.step()
        self._take(logs.detach().exp())

    def _take(self, scales: Tensor) -> None:
        """Keep scales, up to a factor for all channels, if they have less noise than the best before."""
        noise = float(self._noise(scales, _amax))
        if noise < self.after:
            self.scales, self.after = scales / scales.log().mean().exp(), noise

    def _noise(self, scales: Tensor, greatest: Callable[[Tensor], Tensor]) -> Tensor:
        """Predicted energy of the rounding errors of activations and weights at the outputs."""
        seen = self._measured
        span = greatest((seen.high / scales).clamp_min(0)) + greatest((-seen.low / scales).clamp_min(0))
        activations = ((span / self._steps) ** 2 * (seen.energies @ scales.square())).sum()
        steps = _amax(seen.weights * scales) / self._last
        weights = (steps**2 * (seen.by_weight @ scales.square().reciprocal())).sum()
        return (activations + _GPTQ * weights) / 12


def _amax(values: Tensor) -> Tensor:
    return values.amax(1)


def _norm(values: Tensor) -> Tensor:
    """A smooth maximum over the last dimension."""
    most = values.detach().amax(1, keepdim=True).clamp_min(_LEAST)
    return (values / most).clamp_min(_LEAST).pow(_SHARPNESS).sum(1).pow(1 / _SHARPNESS) * most[:, 0]


def _multiply_apart(graph: GraphModule, read: Node, layers: list[Node], outliers: Tensor, name: str) -> None:
    """Add to the layers' outputs what their weights make of some channels, in float."""
    graph.register_buffer(f"{name}_channels", outliers)
    with graph.graph.inserting_after(read):
        indices = graph.graph.get_attr(f"{name}_channels")
    with graph.graph.inserting_after(indices):
        taken = graph.graph.call_function(ATEN.index_select.default, (read, -1, indices))
    for number, layer in enumerate(layers):
        weight = graphs.constant(graph, graphs.weight_of(layer)).detach()
        graph.register_buffer(f"{name}_weight_{number}", weight[:, outliers].T.contiguous())
        with graph.graph.inserting_after(layer):
            factor = graph.graph.get_attr(f"{name}_weight_{number}")
        with graph.graph.inserting_after(factor):
            product = graph.graph.call_function(ATEN.matmul.default, (taken, factor))
        with graph.graph.inserting_after(product):
            total = graph.graph.call_function(ATEN.add.Tensor, (layer, product))
        for user in [each for each in layer.users if each is not total]:
            user.replace_input_with(layer, total)


def _apply(graph: GraphModule, read: Node, layers: list[Node], scales: Tensor, name: str) -> None:
    """Divide the channels of `read` by scales, and multiply the weights of its layers by them.

    A channel whose scale is infinite, and its weights, become zero.
    """
    factors = torch.where(scales.isinf(), 0, scales)
    for layer in layers:
        weight = graphs.weight_of(layer)
        graphs.set_constant(graph, str(weight.target), graphs.constant(graph, weight).detach() * factors)
    if norm := _only_normalized(read, layers):
        for place in norm.args[2:4]:
            if isinstance(place, Node):
                graphs.set_constant(graph, str(place.target), graphs.constant(graph, place).detach() / scales)
        return
    graph.register_buffer(name, scales.reciprocal())
    with graph.graph.inserting_after(read):
        constant = graph.graph.get_attr(name)
    with graph.graph.inserting_after(constant):
        scaled = graph.graph.call_function(ATEN.mul.Tensor, (read, constant))
    for layer in layers:
        layer.replace_input_with(read, scaled)


def _only_normalized(read: Node, layers: list[Node]) -> Node | None:
    """The layer normalization with weights of its own whose values only these layers read; None if there is
    none."""
    wanted, norm = set(layers), read
    while norm.target is ATEN.dropout.default and isinstance(norm.args[0], Node):
        if set(norm.users) != wanted:
            return None
        wanted, norm = {norm}, norm.args[0]
    constants = norm.args[2:4] if norm.target is ATEN.layer_norm.default else ()
    is_own = bool(constants) and all(_is_read_once(each) for each in constants if each is not None)
    has_weight = bool(constants) and constants[0] is not None
    return norm if is_own and has_weight and set(norm.users) == wanted else None


def _is_read_once(value: Any) -> bool:
    return isinstance(value, Node) and value.op == "get_attr" and len(value.users) == 1
