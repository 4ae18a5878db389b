"""Random numbers: of the named distribution, never those that Core ML draws.

A seed of -1 draws from torch's own generator, any other gives the same numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgepack.emulator.coreml.operation import Given, Op


def random_bernoulli(given: Given) -> Tensor:
    """1 with a probability, else 0."""
    return (_uniform(given) < given["prob"]).float()


def random_categorical(given: Given) -> Tensor:
    """Indices drawn by the logits or probabilities of the last axis, with replacement."""
    x = given["x"]
    weights = x.softmax(-1) if given.text("mode") == "logits" else x
    rows = weights.reshape(-1, x.shape[-1])
    drawn = torch.multinomial(rows, given.integer("size"), replacement=True, generator=_generator(given))
    return drawn.view(*x.shape[:-1], -1).float()


def random_normal(given: Given) -> Tensor:
    """A normal distribution."""
    drawn = torch.randn(given.ints("shape"), generator=_generator(given))
    return given["mean"] + given["stddev"] * drawn


def random_uniform(given: Given) -> Tensor:
    """An even distribution from `low` to before `high`."""
    return given["low"] + (given["high"] - given["low"]) * _uniform(given)


def _uniform(given: Given) -> Tensor:
    return torch.rand(given.ints("shape"), generator=_generator(given))


def _generator(given: Given) -> torch.Generator | None:
    seed = given.integer("seed")
    return None if seed == -1 else torch.Generator().manual_seed(seed)


OPS: Mapping[str, Op] = {
    "random_bernoulli": random_bernoulli,
    "random_categorical": random_categorical,
    "random_normal": random_normal,
    "random_uniform": random_uniform,
}
