"""Random numbers: of the same distribution as Core ML's, but not the same numbers.

A seed of -1 uses the global generator of torch; results with any other seed repeat.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op


def random_bernoulli(inputs: Inputs) -> Tensor:
    """1 with probability `prob`, else 0."""
    return (_uniform(inputs) < inputs["prob"]).float()


def random_categorical(inputs: Inputs) -> Tensor:
    """Indices sampled by the logits or probabilities of the last axis, with replacement."""
    x = inputs["x"]
    weights = x.softmax(-1) if inputs.text("mode") == "logits" else x
    rows = weights.reshape(-1, x.shape[-1])
    drawn = torch.multinomial(rows, inputs.integer("size"), replacement=True, generator=_generator(inputs))
    return drawn.view(*x.shape[:-1], -1).float()


def random_normal(inputs: Inputs) -> Tensor:
    """The normal distribution."""
    drawn = torch.randn(inputs.ints("shape"), generator=_generator(inputs))
    return inputs["mean"] + inputs["stddev"] * drawn


def random_uniform(inputs: Inputs) -> Tensor:
    """The uniform distribution on [low, high)."""
    return inputs["low"] + (inputs["high"] - inputs["low"]) * _uniform(inputs)


def _uniform(inputs: Inputs) -> Tensor:
    return torch.rand(inputs.ints("shape"), generator=_generator(inputs))


def _generator(inputs: Inputs) -> torch.Generator | None:
    seed = inputs.integer("seed")
    return None if seed == -1 else torch.Generator().manual_seed(seed)


OPS: Mapping[str, Op] = {
    "random_bernoulli": random_bernoulli,
    "random_categorical": random_categorical,
    "random_normal": random_normal,
    "random_uniform": random_uniform,
}
