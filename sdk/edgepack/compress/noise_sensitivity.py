"""Noise sensitivity: how much small errors of a graph's tensors and weights change its outputs.

To second order, independent errors add up at the outputs as their energy times the squared gradient of the
outputs. One backward pass per sample estimates that: the outputs are summed with random signs, and the mean
square of the gradient is its sum over all outputs (Hutchinson 1989, Communications in Statistics 18(3)).
Squared gradients of weights are the empirical Fisher information, as in HAWQ (Dong et al. 2020,
arXiv:1911.03852).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgepack.compress import simulation
from edgepack.compress.logits import logits
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graphs
from edgepack.graph.guards import WithoutGuards
from edgepack.recipe import Recipe
from edgepack.scheme import INT8

_MOST = 32
"""Samples that are run backwards at most. Least and greatest values are those of all samples."""
_QUANTIZED = Recipe(INT8.name)
"""Names the tensors that are measured: all that static quantization rounds."""


@dataclass(frozen=True)
class NoiseSensitivity:
    """Measurements by node name, one value for each channel (dimension 1 of a tensor)."""

    low: dict[str, Tensor] = field(default_factory=dict)
    """Least value of each channel over all samples."""
    high: dict[str, Tensor] = field(default_factory=dict)
    early: dict[str, Tensor] = field(default_factory=dict)
    """Greatest value of each channel over every other sample. The rest shows what other samples exceed."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Energy at the outputs for an error of energy 1 at each place of a channel; a mean over samples."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    """The same for each weight of a layer, [outputs, inputs of a group]; a kernel's weights are summed."""


def measure(graph: GraphModule, samples: Samples, inside: str = "none") -> NoiseSensitivity:
    """The noise sensitivity of everything that static quantization rounds in a float graph.

    `inside`: the activation that the graph itself applies to its first output, which is undone.
    """
    backward = _Backward(graph, set(simulation.activation_bits(graph, _QUANTIZED)))
    found = backward.found
    generator = torch.Generator().manual_seed(0)
    count = min(_MOST, len(samples))
    for number, sample in enumerate(samples.inputs):
        rows = tuple(torch.from_numpy(array) for array in sample)
        backward.is_early = number % 2 == 0
        with torch.set_grad_enabled(number < count):
            outputs = backward.run(*rows)
            if number < count:
                backward.accumulate(signed_sum(outputs, inside, generator))
    for energies in (found.tensors, found.weights):
        energies.update({name: energy / count for name, energy in energies.items()})
    return found


def signed_sum(outputs: tuple[Tensor, ...], inside: str, generator: torch.Generator) -> Tensor | None:
    """The sum of all outputs, each with a random sign; None where none has a gradient."""
    first, *others = outputs
    parts = [
        (each * (2 * torch.randint(0, 2, each.shape, generator=generator) - 1)).sum()
        for each in (logits(first, inside), *others)
        if each.requires_grad
    ]
    return torch.stack(parts).sum() if parts else None


class Differentiable(WithoutGuards):
    """Runs a graph so that a backward pass can follow, with in-place operators on copies."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if str(target).rpartition(".")[0].endswith("_") and isinstance(args[0], Tensor):
            args = (args[0].clone(), *args[1:])
        return super().call_function(target, args, kwargs)


class _Backward(Differentiable):
    """Measures tensors, and keeps them and the weights for a backward pass."""

    def __init__(self, graph: GraphModule, wanted: set[str]) -> None:
        super().__init__(graph)
        self.found = NoiseSensitivity()
        self.is_early = False
        self._wanted = wanted
        self._weights: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        layers = graphs.layers(graph).values()
        self._owners = {str(graphs.weight_of(node).target): node.name for node in layers}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self._weights, self._values = {}, {}
        return super().run(*args, **kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        owner = self._owners.get(target)
        if owner is None or not torch.is_grad_enabled():
            return value.detach() if isinstance(value, Tensor) else value
        self._weights[owner] = value.detach().requires_grad_()
        return self._weights[owner]

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        has_channels = isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1
        if n.name in self._wanted and has_channels:
            self._observe(n.name, value.detach().transpose(0, 1).flatten(1))
            if torch.is_grad_enabled():
                if not value.requires_grad:
                    value = value.detach().requires_grad_()
                value.retain_grad()
                self._values[n.name] = value
        return value

    def _observe(self, name: str, channels: Tensor) -> None:
        """Take in the least and greatest values of channels [channels, values]."""
        low, high = channels.amin(1), channels.amax(1)
        self.found.low[name] = torch.minimum(self.found.low.get(name, low), low)
        self.found.high[name] = torch.maximum(self.found.high.get(name, high), high)
        if self.is_early:
            self.found.early[name] = torch.maximum(self.found.early.get(name, high), high)

    def accumulate(self, total: Tensor | None) -> None:
        """Add the squared gradients of one sample's signed sum."""
        if total is None:
            return
        total.backward()
        for name, value in self._values.items():
            if value.grad is not None:
                energy = value.grad.transpose(0, 1).flatten(1).square().sum(1)
                self.found.tensors[name] = self.found.tensors.get(name, torch.zeros_like(energy)) + energy
        for name, weight in self._weights.items():
            if weight.grad is not None:
                energy = weight.grad.flatten(2).square().sum(2) if weight.dim() > 2 else weight.grad.square()
                self.found.weights[name] = self.found.weights.get(name, torch.zeros_like(energy)) + energy
