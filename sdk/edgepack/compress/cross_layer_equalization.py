"""Cross-layer equalization: channels rescaled and shifted between layers, to fit one quantization range.

A channel is divided by a scale where a layer writes it, and the weights of the layers that read it are
multiplied by the scale. The outputs of the float model stay the same as long as everything in between keeps
the scale (ReLU, pooling, addition of tensors that are scaled alike, concatenation). Nagel et al. 2019
(arXiv:1906.04721) equalize pairs of layers. Here all channels that must share a scale are found in the graph
(`scale_groups.py`), so that residual streams and concatenations are equalized, too. A channel that only sums
and unpadded layers read may also be shifted to lie around zero (Wei et al. 2023, Outlier Suppression+,
arXiv:2304.09145).

Under a clamp such as ReLU6, a channel that stays far below the clamp may be scaled up. That is exact as long
as the channel does not reach the clamp (`clamped`).

Scales and shifts minimize the predicted energy of the quantization noise at the outputs, by gradient
descent: for a tensor with step d, d^2 / 12 for each value times its noise sensitivity
(`noise_sensitivity.py`); the same for each weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgepack.compress.noise_sensitivity import NoiseSensitivity
from edgepack.compress.scale_groups import (
    FIXED,
    ScaleGroups,
    ceiling,
    constants,
    is_plain,
    shared_constants,
)
from edgepack.graph import layers as graphs
from edgepack.graph.layers import ADDS
from edgepack.graph.quantization_grid import greatest_code, greatest_weight_code
from edgepack.scheme import INT8, Scheme

_LEAST = 1e-8
_BOUND = 12 * float(np.log(2))
"""Greatest absolute logarithm of a scale: a channel that needs more is dead, not small."""
_START = 0.75
"""Where the search starts: how far activations are made alike at the cost of weights (Xiao et al. 2022,
SmoothQuant, arXiv:2211.10438)."""
_QUIET = 1 / 64
"""Share of a tensor's greatest channel: channels that are smaller count as this large."""
_ROOM, _FLOOR = 2.0, 0.25
"""Under a clamp, a channel is scaled up to the clamp divided by the first, and at most by 1 / the second."""
_WEIGHTS = 0.1
"""Share of the weights' noise that GPTQ leaves, about."""
_STEPS, _RATE = 120, 0.05
_SHARPNESS = 40.0
"""Of the smooth maximum that stands for a tensor's range during the search."""


def equalize(
    graph: GraphModule,
    sensitivity: NoiseSensitivity,
    *,
    clamped: bool = False,
    scheme: Scheme = INT8,
) -> int:
    """Rescale and shift channels of a float graph in place; return how many are scaled.

    `sensitivity` is that of the graph before the change, `scheme` the one that it will be quantized by.
    """
    channels = _Channels(graph, sensitivity, clamped, scheme)
    if not channels.count:
        return 0
    with torch.enable_grad():
        channels.search()
    channels.apply()
    return int((channels.scales()[1:].log().abs() > 1e-6).sum())


def has_clamps(graph: GraphModule) -> bool:
    """Whether `clamped` makes a difference."""
    return any(ceiling(node) for node in graph.graph.nodes)


class _Channels:
    """Scales of all scale groups, shifts of tensors, and the noise that they predict.

    Groups are numbered without gaps. Group 0 contains all channels that are never scaled.
    """

    def __init__(
        self, graph: GraphModule, sensitivity: NoiseSensitivity, clamped: bool, scheme: Scheme
    ) -> None:
        self.graph, self.sensitivity = graph, sensitivity
        self.steps = greatest_code(scheme.activation_bits)
        self.last_weight = greatest_weight_code(scheme.weight_bits)
        self.groups = _numbered(ScaleGroups(graph, clamped=clamped))
        """The group of each channel, by node."""
        self.count = max((int(ids.max()) for ids in self.groups.values() if len(ids)), default=0)
        self.layers = [node for node in graph.graph.nodes if graphs.is_layer(node) and is_plain(node)]
        self.readers = [node for node in self.layers if node.args[0] in self.groups]
        self.kernels = {node: _greatest_weights(graph, node) for node in self.readers}
        self.tensors = self._measured()
        self.movable = _movable(graph, self.groups)
        self.shifts = self._first_shifts()
        self.movable &= {node for node in self.movable if self._shift(node) is not None}
        self.least, self.greatest = self._bounds(clamped)
        self.logs = self._first_logs().requires_grad_()
        """Logarithms of the scales of all groups, not yet limited to `least` and `greatest`."""

    def _measured(self) -> list[Node]:
        """The tensors whose noise is predicted."""
        return [
            node
            for node in self.graph.graph.nodes
            if node.name in self.sensitivity.tensors
            and node in self.groups
            and len(self.groups[node]) == len(self.sensitivity.low[node.name]) > 0
        ]

    def _first_shifts(self) -> dict[Node, Tensor]:
        """The middle of each channel's range, for the layers whose outputs may be shifted."""
        low, high = self.sensitivity.low, self.sensitivity.high
        return {
            node: ((low[node.name] + high[node.name]) / 2).requires_grad_()
            for node in self.layers
            if node in self.movable and node.name in low
        }

    def scales(self) -> Tensor:
        """What the channels of each group are divided by."""
        return torch.minimum(torch.maximum(self.logs.detach(), self.least), self.greatest).exp()

    def _bounds(self, clamped: bool) -> tuple[Tensor, Tensor]:
        """Least and greatest logarithm of each scale; at most 0 for a group that passes a clamp."""
        least = torch.full((self.count + 1,), -_BOUND)
        greatest = -least
        for node, ids in self.groups.items():
            if clamped and ceiling(node) and node.name in self.sensitivity.early:
                full = (_ROOM * self.sensitivity.early[node.name] / ceiling(node)).clamp(_FLOOR, 1).log()
                least.scatter_reduce_(0, ids, full, "amax")
                greatest.scatter_reduce_(0, ids, torch.zeros_like(full), "amin")
        least[FIXED] = greatest[FIXED] = 0
        return least, greatest

    def _first_logs(self) -> Tensor:
        """Logarithms of the scales that make activations alike at the cost of weights."""
        activations, weights = torch.zeros(self.count + 1), torch.zeros(self.count + 1)
        for node in self.tensors:
            activations.scatter_reduce_(0, self.groups[node], self._magnitudes(node), "amax")
        for node in self.readers:
            by_input = _by_input(node, self.kernels[node])
            weights.scatter_reduce_(0, self.groups[_input(node)], by_input, "amax")
        usable = (activations > _LEAST) & (weights > _LEAST)
        usable[FIXED] = False
        logs = _START * activations.clamp_min(_LEAST).log() - (1 - _START) * weights.clamp_min(_LEAST).log()
        middle = logs[usable].mean() if usable.any() else logs.new_zeros(())
        # groups without activations or without weights are not scaled
        self.least, self.greatest = (torch.where(usable, each, 0) for each in (self.least, self.greatest))
        return torch.where(usable, logs - middle, 0)

    def _magnitudes(self, node: Node) -> Tensor:
        return torch.maximum(self.sensitivity.low[node.name].abs(), self.sensitivity.high[node.name].abs())

    def search(self) -> None:
        """Move scales and shifts to where the predicted noise is least."""
        spans = {
            node: float((self.sensitivity.high[node.name] - self.sensitivity.low[node.name]).mean())
            for node in self.shifts
        }
        parameters = [{"params": [self.logs], "lr": _RATE}]
        parameters += [{"params": [each], "lr": _RATE * spans[node]} for node, each in self.shifts.items()]
        optimizer = torch.optim.Adam(parameters)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        floors = self._floors()
        for _ in range(_STEPS):
            optimizer.zero_grad()
            noise = self._noise(floors)
            if not noise.requires_grad or not noise.isfinite() or noise <= 0:
                break
            noise.log().backward()
            optimizer.step()
            decay.step()

    def _floors(self) -> Mapping[Node, Tensor]:
        """The least magnitude that each channel of a tensor counts as."""
        floors = {}
        for node in self.tensors:
            scale = self.scales()[self.groups[node]]
            floors[node] = _QUIET * (self._magnitudes(node) / scale).amax() * scale
        return floors

    def _noise(self, floors: Mapping[Node, Tensor]) -> Tensor:
        """Predicted energy of the quantization errors at the outputs."""
        scales = torch.minimum(torch.maximum(self.logs, self.least), self.greatest).exp()
        total = torch.zeros(())
        for node in self.tensors:
            total = total + self._tensor_noise(node, scales[self.groups[node]], floors[node])
        for node in self.readers:
            if node.name in self.sensitivity.weights:
                total = total + _WEIGHTS * self._weight_noise(node, scales[self.groups[_input(node)]])
        return total

    def _tensor_noise(self, node: Node, scale: Tensor, floor: Tensor) -> Tensor:
        """Noise of one tensor whose channels are shifted and then divided by `scale`."""
        shift = self._shift(node)
        high, low = self.sensitivity.high[node.name], self.sensitivity.low[node.name]
        if shift is not None:
            high, low = high - shift, low - shift
        above, below = (
            _smooth_maximum(torch.maximum(each, floor * (each > 0)) / scale) for each in (high, -low)
        )
        step = (above + below) / self.steps
        return step**2 / 12 * (self.sensitivity.tensors[node.name] * scale**2).sum()

    def _weight_noise(self, node: Node, scale: Tensor) -> Tensor:
        """Noise of a layer's weights, multiplied by the `scale` of the input channel that they read."""
        by_weight = _by_output(node, scale, self.kernels[node])
        step = (self.kernels[node] * by_weight).amax(1) / self.last_weight
        return (step**2 / 12 * (self.sensitivity.weights[node.name] / by_weight**2).sum(1)).sum()

    def _shift(self, node: Node) -> Tensor | None:
        """What is subtracted from a tensor's channels; None for nothing."""
        if node in self.shifts:
            return self.shifts[node]
        if node not in self.movable or node.target not in ADDS:
            return None
        parts = [each for each in map(self._shift, node.all_input_nodes) if each is not None]
        return parts[0] + parts[1] if len(parts) == 2 else (parts[0] if parts else None)

    def apply(self) -> None:
        """Apply first the shifts, then the scales to the graph's weights and biases."""
        with torch.no_grad():
            for node in self.layers:
                if node.args[0] in self.movable:
                    self._compensate_shift(node)
            for node, shift in self.shifts.items():
                _add_to_bias(self.graph, node, -shift)
            scales = self.scales()
            for node in self.readers:
                _rescale_reader(self.graph, node, scales[self.groups[_input(node)]])
            for node in self.layers:
                _rescale_writer(self.graph, node, scales[self.groups[node]])

    def _compensate_shift(self, layer: Node) -> None:
        """Add to a layer's bias what its weights made of the shift of its input."""
        shift = self._shift(_input(layer))
        assert shift is not None
        weight = graphs.constant(self.graph, graphs.weight_of(layer))
        sums = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
        _add_to_bias(self.graph, layer, (sums * _by_output(layer, shift, sums)).sum(1))


def _numbered(scale_groups: ScaleGroups) -> dict[Node, Tensor]:
    """The groups of each tensor's channels, numbered without gaps; `FIXED` stays 0."""
    merged = {node: scale_groups.merged(node) for node in scale_groups.of}
    used = sorted({int(group) for ids in merged.values() for group in ids.tolist()} | {FIXED})
    numbers = {group: number for number, group in enumerate(used)}
    return {
        node: torch.tensor([numbers[group] for group in ids.tolist()], dtype=torch.long)
        for node, ids in merged.items()
    }


def _smooth_maximum(values: Tensor) -> Tensor:
    """A differentiable maximum, never less than the real one; 0 where all values are below 0."""
    sharpness = _SHARPNESS / values.detach().amax().clamp_min(_LEAST)
    return (torch.logsumexp(values * sharpness, 0) / sharpness).clamp_min(0)


def _movable(graph: GraphModule, groups: Mapping[Node, Tensor]) -> set[Node]:
    """Nodes whose channels may be shifted: only sums and unpadded layers read them."""
    shared = shared_constants(graph)
    compensating = {
        node
        for node in graph.graph.nodes
        if graphs.is_layer(node) and is_plain(node) and graphs.bias_of(node) and not constants(node) & shared
    }
    movable: set[Node] = set()
    for node in reversed(graph.graph.nodes):
        is_written = node in compensating or _is_sum_of_channels(node, groups)
        if len(groups.get(node, ())) and is_written and _has_movable_users(node, compensating, movable):
            movable.add(node)
    return movable


def _is_sum_of_channels(node: Node, groups: Mapping[Node, Tensor]) -> bool:
    """Whether a node adds two tensors of as many channels as it has itself."""
    channels = len(groups.get(node, ()))
    return node.target in ADDS and [len(groups.get(each, ())) for each in node.all_input_nodes] == [
        channels,
        channels,
    ]


def _has_movable_users(node: Node, compensating: set[Node], movable: set[Node]) -> bool:
    """Whether every user is a layer that can compensate a shift in its bias, or a sum that may shift."""

    def is_movable(user: Node) -> bool:
        is_reader = user in compensating and user.args[0] is node and _is_unpadded(user)
        return is_reader or (user.target in ADDS and user in movable)

    return bool(node.users) and all(is_movable(user) for user in node.users)


def _is_unpadded(layer: Node) -> bool:
    if layer.target in graphs.LINEAR:
        return True
    padding = layer.args[4] if len(layer.args) > 4 else layer.kwargs.get("padding", 0)
    sides = padding if isinstance(padding, (list, tuple)) else [padding]
    return all(side == 0 for side in sides)


def _input(layer: Node) -> Node:
    before = layer.args[0]
    assert isinstance(before, Node)
    return before


def _greatest_weights(graph: GraphModule, layer: Node) -> Tensor:
    """The greatest absolute weight of each kernel, [outputs, inputs of a group]."""
    weight = graphs.constant(graph, graphs.weight_of(layer)).detach().abs()
    return weight.flatten(2).amax(2) if weight.dim() > 2 else weight


def _by_input(layer: Node, greatest: Tensor) -> Tensor:
    """The greatest absolute weight by which a layer reads each of its input channels, [inputs]."""
    return greatest.reshape(graphs.groups(layer), -1, greatest.shape[1]).amax(1).flatten()


def _by_output(layer: Node, channels: Tensor, weight: Tensor) -> Tensor:
    """Values of input channels, arranged like the weights that read them: [outputs, inputs of a group]."""
    groups = graphs.groups(layer)
    return channels.reshape(groups, weight.shape[1]).repeat_interleave(weight.shape[0] // groups, 0)


def _add_to_bias(graph: GraphModule, layer: Node, value: Tensor) -> None:
    bias = graphs.bias_of(layer)
    assert bias is not None
    graphs.set_constant(graph, str(bias.target), graphs.constant(graph, bias) + value)


def _rescale_reader(graph: GraphModule, layer: Node, scale: Tensor) -> None:
    """Multiply the weights of a layer by the scales of the channels that it reads."""
    node = graphs.weight_of(layer)
    weight = graphs.constant(graph, node)
    rows = _by_output(layer, scale, weight)
    graphs.set_constant(
        graph, str(node.target), weight * rows.reshape(*rows.shape, *[1] * (weight.dim() - 2))
    )


def _rescale_writer(graph: GraphModule, layer: Node, scale: Tensor) -> None:
    """Divide the weights and the bias of a layer by the scales of the channels that it writes."""
    node = graphs.weight_of(layer)
    weight = graphs.constant(graph, node)
    graphs.set_constant(graph, str(node.target), weight / scale.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias := graphs.bias_of(layer):
        graphs.set_constant(graph, str(bias.target), graphs.constant(graph, bias) / scale)
