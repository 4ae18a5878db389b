"""Equalization: channels rescaled and shifted between layers, so that they share a quantization range.

Scaling a channel where a layer writes it, and back where layers read it, leaves the float model's
answers as they are, as long as all between is blind to scale (ReLU, pooling, addition of tensors that
are scaled alike, concatenation). Nagel et al. 2019 (arXiv:1906.04721) do so between pairs of layers;
here each set of tensors that must share a scale is found in the graph, so that residual streams and
concatenations are reached, too. A channel that nothing but sums and unpadded layers read may be
shifted as well, to lie around zero (Wei et al. 2023, Outlier Suppression+, arXiv:2304.09145).

Under a clamp such as ReLU6, a channel that stays far below it may be scaled up, which is exact as long
as it does (`clamped`). Scales and shifts are those by which the noise of int8 at the outputs is least,
as predicted by the influence of each tensor and weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgepack.compress.noise_sensitivity import NoiseSensitivity
from edgepack.compress.scale_groups import ADDS, ScaleGroups, ceiling, constants, plain, shared_constants
from edgepack.graph import layers as graphs

_LEAST = 1e-8
_BOUND = 12 * float(np.log(2))
"""Scales are kept within this factor: beyond it a channel is dead, not small."""
_START = 0.75
"""How far activations are made alike, at the cost of weights, before the search (Xiao et al. 2022,
SmoothQuant, arXiv:2211.10438)."""
_QUIET = 1 / 64
"""Of the loudest channel of a tensor: quieter ones are taken for that loud."""
_ROOM, _FLOOR = 2.0, 0.25
"""Under a clamp a channel is scaled up to half of it, and fourfold, at most."""
_WEIGHTS = 0.1
"""Share of the weights' noise that error feedback leaves, about."""
_STEPS, _RATE = 120, 0.05
_SHARP = 40.0
"""How sharply the greatest of a tensor's channels stands for its range, while it is searched."""


def equalize(graph: GraphModule, found: NoiseSensitivity, *, clamped: bool = False) -> int:
    """Rescale and shift channels of a float graph in place; how many are scaled.

    `found` is that of the graph as it is.
    """
    channels = _Channels(graph, found, clamped)
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
    """Scales of all slots and shifts of tensors, and the noise that they predict.

    Slot 0 stands for all that is never scaled.
    """

    def __init__(self, graph: GraphModule, found: NoiseSensitivity, clamped: bool) -> None:
        self.graph, self.found = graph, found
        slots = ScaleGroups(graph, clamped=clamped)
        settled = {node: slots.settled(node) for node in slots.of}
        used = sorted({int(each) for ids in settled.values() for each in ids.tolist()} | {0})
        self.count = len(used) - 1
        places = {slot: place for place, slot in enumerate(used)}
        self.places = {
            node: torch.tensor([places[each] for each in ids.tolist()], dtype=torch.long)
            for node, ids in settled.items()
        }
        self.layers = [node for node in graph.graph.nodes if graphs.is_layer(node) and plain(node)]
        self.readers = [node for node in self.layers if node.args[0] in self.places]
        self.most = {node: _most(graph, node) for node in self.readers}
        self.tensors = [
            node
            for node in graph.graph.nodes
            if node.name in found.tensors
            and node in self.places
            and len(self.places[node]) == len(found.low[node.name]) > 0
        ]
        self.movable = _movable(graph, self.places)
        self.shifts = {
            node: ((found.low[node.name] + found.high[node.name]) / 2).requires_grad_()
            for node in self.layers
            if node in self.movable and node.name in found.low
        }
        self.movable &= {node for node in self.movable if self._shift(node) is not None}
        self.least, self.greatest = self._bounds(clamped)
        self.logs = self._first().requires_grad_()

    def scales(self) -> Tensor:
        """What the channels of each slot are divided by."""
        return torch.minimum(torch.maximum(self.logs.detach(), self.least), self.greatest).exp()

    def _bounds(self, clamped: bool) -> tuple[Tensor, Tensor]:
        """Least and greatest logarithm of each scale; what a clamp's slot is divided by is at most 1."""
        least = torch.full((self.count + 1,), -_BOUND)
        greatest = -least
        for node, places in self.places.items():
            if clamped and ceiling(node) and node.name in self.found.early:
                full = (_ROOM * self.found.early[node.name] / ceiling(node)).clamp(_FLOOR, 1).log()
                least.scatter_reduce_(0, places, full, "amax")
                greatest.scatter_reduce_(0, places, torch.zeros_like(full), "amin")
        least[0] = greatest[0] = 0
        return least, greatest

    def _first(self) -> Tensor:
        """Logarithms of the scales that make activations alike at the cost of weights."""
        loud, strong = torch.zeros(self.count + 1), torch.zeros(self.count + 1)
        for node in self.tensors:
            loud.scatter_reduce_(0, self.places[node], self._magnitudes(node), "amax")
        for node in self.readers:
            strong.scatter_reduce_(0, self.places[_read(node)], _by_input(node, self.most[node]), "amax")
        usable = (loud > _LEAST) & (strong > _LEAST)
        usable[0] = False
        logs = _START * loud.clamp_min(_LEAST).log() - (1 - _START) * strong.clamp_min(_LEAST).log()
        middle = logs[usable].mean() if usable.any() else logs.new_zeros(())
        self.least, self.greatest = (torch.where(usable, each, 0) for each in (self.least, self.greatest))
        return torch.where(usable, logs - middle, 0)

    def _magnitudes(self, node: Node) -> Tensor:
        return torch.maximum(self.found.low[node.name].abs(), self.found.high[node.name].abs())

    def search(self) -> None:
        """Settle scales and shifts where the predicted noise is least."""
        spans = {
            node: float((self.found.high[node.name] - self.found.low[node.name]).mean())
            for node in self.shifts
        }
        groups = [{"params": [self.logs], "lr": _RATE}]
        groups += [{"params": [each], "lr": _RATE * spans[node]} for node, each in self.shifts.items()]
        optimizer = torch.optim.Adam(groups)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        quiet = self._quiet()
        for _ in range(_STEPS):
            optimizer.zero_grad()
            noise = self._noise(quiet)
            if not noise.requires_grad or not noise.isfinite() or noise <= 0:
                break
            noise.log().backward()
            optimizer.step()
            decay.step()

    def _quiet(self) -> Mapping[Node, Tensor]:
        """How loud each channel of a tensor is taken to be at least."""
        found = {}
        for node in self.tensors:
            scale = self.scales()[self.places[node]]
            found[node] = _QUIET * (self._magnitudes(node) / scale).amax() * scale
        return found

    def _noise(self, quiet: Mapping[Node, Tensor]) -> Tensor:
        """Predicted energy of int8's errors at the outputs."""
        scales = torch.minimum(torch.maximum(self.logs, self.least), self.greatest).exp()
        total = torch.zeros(())
        for node in self.tensors:
            scale, shift = scales[self.places[node]], self._shift(node)
            high, low = self.found.high[node.name], self.found.low[node.name]
            if shift is not None:
                high, low = high - shift, low - shift
            above, below = (
                _greatest(torch.maximum(each, quiet[node] * (each > 0)) / scale) for each in (high, -low)
            )
            step = (above + below) / 255
            total = total + step**2 / 12 * (self.found.tensors[node.name] * scale**2).sum()
        for node in self.readers:
            if node.name in self.found.weights:
                read = _by_output(node, scales[self.places[_read(node)]], self.most[node])
                step = (self.most[node] * read).amax(1) / 127
                total = (
                    total + _WEIGHTS * (step**2 / 12 * (self.found.weights[node.name] / read**2).sum(1)).sum()
                )
        return total

    def _shift(self, node: Node) -> Tensor | None:
        """What is taken from a tensor's channels; None where nothing is."""
        if node in self.shifts:
            return self.shifts[node]
        if node not in self.movable or node.target not in ADDS:
            return None
        parts = [each for each in map(self._shift, node.all_input_nodes) if each is not None]
        return parts[0] + parts[1] if len(parts) == 2 else (parts[0] if parts else None)

    def apply(self) -> None:
        """Put shifts, then scales, into the graph's weights and biases."""
        with torch.no_grad():
            for node in self.layers:
                if node.args[0] in self.movable:
                    self._move_reader(node)
            for node, shift in self.shifts.items():
                _add_to_bias(self.graph, node, -shift)
            scales = self.scales()
            for node in self.readers:
                _rescale_reader(self.graph, node, scales[self.places[_read(node)]])
            for node in self.layers:
                _rescale_writer(self.graph, node, scales[self.places[node]])

    def _move_reader(self, layer: Node) -> None:
        shift = self._shift(_read(layer))
        assert shift is not None
        weight = graphs.constant(self.graph, graphs.weight_of(layer))
        sums = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
        _add_to_bias(self.graph, layer, (sums * _by_output(layer, shift, sums)).sum(1))


def _greatest(values: Tensor) -> Tensor:
    """A smooth stand-in for the greatest value, never less than it; 0 where all are below."""
    sharp = _SHARP / values.detach().amax().clamp_min(_LEAST)
    return (torch.logsumexp(values * sharp, 0) / sharp).clamp_min(0)


def _movable(graph: GraphModule, places: Mapping[Node, Tensor]) -> set[Node]:
    """Nodes whose channels may be shifted: sums and unpadded layers alone read them."""
    found: set[Node] = set()
    shared = shared_constants(graph)
    able = {
        node
        for node in graph.graph.nodes
        if graphs.is_layer(node) and plain(node) and graphs.bias_of(node) and not constants(node) & shared
    }
    for node in reversed(graph.graph.nodes):
        channels = len(places.get(node, ()))
        sums = node.target in ADDS and [len(places.get(each, ())) for each in node.all_input_nodes]
        written = node in able or sums == [channels, channels]
        readers = [user for user in node.users if user in able and user.args[0] is node and _unpadded(user)]
        takers = {*readers, *(user for user in node.users if user.target in ADDS and user in found)}
        if channels and node.users and written and takers == set(node.users):
            found.add(node)
    return found


def _unpadded(layer: Node) -> bool:
    if layer.target in graphs.LINEAR:
        return True
    padding = layer.args[4] if len(layer.args) > 4 else layer.kwargs.get("padding", 0)
    sides = padding if isinstance(padding, (list, tuple)) else [padding]
    return all(each == 0 for each in sides)


def _read(layer: Node) -> Node:
    before = layer.args[0]
    assert isinstance(before, Node)
    return before


def _most(graph: GraphModule, layer: Node) -> Tensor:
    """Greatest weight of each kernel, [outputs, inputs a group]."""
    weight = graphs.constant(graph, graphs.weight_of(layer)).detach().abs()
    return weight.flatten(2).amax(2) if weight.dim() > 2 else weight


def _by_input(layer: Node, most: Tensor) -> Tensor:
    """Greatest weight by which a layer reads each of its input channels."""
    return most.reshape(graphs.groups(layer), -1, most.shape[1]).amax(1).flatten()


def _by_output(layer: Node, channels: Tensor, weight: Tensor) -> Tensor:
    """A figure of each input channel beside the weights that read it: [outputs, inputs a group]."""
    groups = graphs.groups(layer)
    return channels.reshape(groups, weight.shape[1]).repeat_interleave(weight.shape[0] // groups, 0)


def _add_to_bias(graph: GraphModule, layer: Node, value: Tensor) -> None:
    bias = graphs.bias_of(layer)
    assert bias is not None
    graphs.set_constant(graph, str(bias.target), graphs.constant(graph, bias) + value)


def _rescale_reader(graph: GraphModule, layer: Node, scale: Tensor) -> None:
    node = graphs.weight_of(layer)
    weight = graphs.constant(graph, node)
    rows = _by_output(layer, scale, weight)
    graphs.set_constant(
        graph, str(node.target), weight * rows.reshape(*rows.shape, *[1] * (weight.dim() - 2))
    )


def _rescale_writer(graph: GraphModule, layer: Node, scale: Tensor) -> None:
    node = graphs.weight_of(layer)
    weight = graphs.constant(graph, node)
    graphs.set_constant(graph, str(node.target), weight / scale.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias := graphs.bias_of(layer):
        graphs.set_constant(graph, str(bias.target), graphs.constant(graph, bias) / scale)
