"""A lesson: samples, what the float model answers to them, and how far another module's answers are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgepack.contract.samples import Samples
from edgepack.errors import SourceError

HELD_OUT = 5
"""Every fifth sample, in a seeded order, only measures."""
LEAST = 10
"""Fewer samples than this are too few to learn from and to measure on."""
_HELD_MOST = 2000
"""No more samples than this are held out: their agreement is known within a point."""
_MANY = 5000
"""So many samples to learn from are not mixed: within minutes each is seen a few times only."""
_LABELS = 0.3
"""The labels' share of the loss where they are known."""

Tensors = tuple[Tensor, ...]
Run = Callable[..., Tensors]
"""A model: input tensors by position, a tuple of tensors out."""


@dataclass(frozen=True)
class Likeness:
    """How much a module answers as the float model does, on held-out samples."""

    agreement: float | None
    """Share of the same top answers in %; None where the first output is no class scores."""
    sqnr_db: float
    """Energy of the float model's answers over that of the difference; NaN where an answer is none."""
    samples: int

    @property
    def rank(self) -> tuple[float, float]:
        """By agreement, as finely as so many samples tell it (a standard error), then by SQNR.

        NaN is the least.
        """
        step = 50 / math.sqrt(self.samples)
        sqnr = -math.inf if math.isnan(self.sqnr_db) else self.sqnr_db
        return (round((self.agreement or 0.0) / step), sqnr)


@dataclass(frozen=True)
class Batch:
    """Samples of one shape, stacked, and what there is to learn of them."""

    inputs: Tensors
    answers: Tensors
    """The float model's."""
    labels: Tensor | None
    others: Tensor | None
    """The labels of the samples that were mixed in."""
    shares: Tensor
    """How much of each input is the sample itself; the rest is the one mixed in."""


@dataclass
class Lesson:
    """A float model that answers samples: some to learn from, the others to measure on."""

    teacher: Run
    samples: Samples
    classifier: bool
    """Whether the first output is scores of classes."""
    size: int
    """Samples a batch."""
    together: bool
    """Whether the models take a batch at once; else one sample after the other."""
    draw: torch.Generator
    learnt: list[list[int]]
    """Indices of the samples to learn from, one list a shape."""
    held: list[Batch] = field(default_factory=list)
    probabilities: bool = False
    """Whether the first output is probabilities and not logits."""
    known: dict[int, Tensors] = field(default_factory=dict)
    """The float model's answers so far, by sample, where nothing is mixed."""

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed: where they are few, and floats."""
        few = sum(len(each) for each in self.learnt) < _MANY
        return few and all(each.dtype.kind == "f" for each in self.samples.inputs[0])

    def batches(self) -> Iterator[Batch]:
        """Batches without end, each epoch in an order of its own."""
        while True:
            parts = [
                [indices[place] for place in part.tolist()]
                for indices in self.learnt
                for part in torch.randperm(len(indices), generator=self.draw).split(self.size)
            ]
            full = [part for part in parts if len(part) == self.size] or parts
            for place in torch.randperm(len(full), generator=self.draw).tolist():
                yield self._mixed(full[place]) if self.mixes else self.plain(full[place])

    def inputs(self, most: int) -> Iterator[Tensors]:
        """Up to `most` samples to learn from, as they are, in batches."""
        for indices in self.learnt:
            for start in range(0, min(len(indices), most), 2 * self.size):
                yield _stacked(self.samples, indices[start : start + 2 * self.size])

    def plain(self, indices: list[int]) -> Batch:
        """The samples as they are; the float model answers each once."""
        new = [index for index in indices if index not in self.known]
        if new:
            rows = self.asked(_stacked(self.samples, new))
            self.known.update((index, tuple(each[n] for each in rows)) for n, index in enumerate(new))
        answers = tuple(torch.stack(column) for column in zip(*(self.known[index] for index in indices)))
        labels = self._labels(indices)
        return Batch(_stacked(self.samples, indices), answers, labels, labels, torch.ones(len(indices)))

    def _mixed(self, indices: list[int]) -> Batch:
        """Each sample mixed with another of the batch, and the float model's answers to that."""
        stacked, labels = _stacked(self.samples, indices), self._labels(indices)
        shares = torch.rand(len(indices), generator=self.draw)
        turned = [*range(1, len(indices)), 0]
        inputs = tuple(_blend(each, each[turned], shares) for each in stacked)
        others = labels[turned] if labels is not None else None
        return Batch(inputs, self.asked(inputs), labels, others, shares)

    def asked(self, inputs: Tensors) -> Tensors:
        """The float model's answers."""
        with torch.no_grad():
            return self.answers(self.teacher, inputs)

    def answers(self, model: Run, inputs: Tensors) -> Tensors:
        """A model's answers to stacked inputs, stacked."""
        if self.together:
            return model(*inputs)
        rows = [model(*one) for one in zip(*(each.split(1) for each in inputs))]
        return tuple(torch.stack(column) for column in zip(*rows))

    def loss(self, model: Run, batch: Batch) -> Tensor:
        """How far a model's answers are from what the batch teaches.

        Scores of classes: the Kullback-Leibler divergence of the probabilities (Hinton et al. 2015), with
        labels the cross entropy, too. Other outputs: the energy of the difference over the output's.
        """
        ours = self.answers(model, batch.inputs)
        compared = [(a, b) for a, b in zip(ours, batch.answers) if b.is_floating_point()]
        if not self.classifier:
            return torch.stack([_distance(a, b) for a, b in compared]).sum()
        scores = self._logits(ours[0])
        first = _divergence(scores, self._logits(batch.answers[0]))
        if batch.labels is not None and batch.others is not None:
            named = _named(scores, batch.labels, batch.others, batch.shares)
            first = (1 - _LABELS) * first + _LABELS * named
        return torch.stack([first, *(_distance(a, b) for a, b in compared[1:])]).sum()

    @torch.no_grad()
    def likeness(self, model: Run) -> Likeness:
        """How much a model answers as the float model does, on the held-out samples."""
        same, count, noise, signal = 0, 0, 0.0, 0.0
        for batch in self.held:
            ours = self.answers(model, batch.inputs)
            count += len(batch.shares)
            same += int((ours[0].argmax(-1) == batch.answers[0].argmax(-1)).sum())
            noise += sum(float((a.double() - b.double()).square().sum()) for a, b in zip(ours, batch.answers))
            signal += sum(float(each.double().square().sum()) for each in batch.answers)
        ratio = signal / noise if noise else math.inf
        return Likeness(
            agreement=100 * same / count if self.classifier else None,
            sqnr_db=10 * math.log10(ratio) if ratio else -math.inf,
            samples=count,
        )

    @torch.no_grad()
    def held_loss(self, model: Run) -> float:
        """The loss on the held-out samples, a mean over their batches."""
        losses = [float(self.loss(model, batch)) for batch in self.held]
        mean = sum(losses) / len(losses)
        return mean if math.isfinite(mean) else math.inf

    def _labels(self, indices: list[int]) -> Tensor | None:
        if self.samples.labels is None or not self.classifier:
            return None
        return torch.tensor([self.samples.labels[index] for index in indices])

    def _logits(self, scores: Tensor) -> Tensor:
        return scores.clamp_min(1e-9).log() if self.probabilities else scores


def prepare(
    student: Run, teacher: Run, samples: Samples, *, classifier: bool, size: int, seed: int
) -> Lesson:
    """Split `samples` by `seed`, and see how the models take them.

    Raises SourceError where they are too few, or where the model's answers teach nothing.
    """
    if len(samples) < LEAST:
        raise SourceError(
            f"recovery learns from some samples and measures on others: it needs {LEAST} or more, "
            f"{samples.origin} holds {len(samples)}"
        )
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    held = order[::HELD_OUT][:_HELD_MOST]
    learnt = _by_shape(samples, sorted(set(order) - set(held)))
    fitting = max(1, min(size, sum(len(each) for each in learnt) // 4))
    together = all(_takes_batches(each, samples, learnt) for each in (student, teacher))
    draw = torch.Generator().manual_seed(seed)
    lesson = Lesson(teacher, samples, classifier, fitting, together, draw, learnt)
    parts = [part[n : n + size] for part in _by_shape(samples, held) for n in range(0, len(part), size)]
    lesson.held = [lesson.plain(part) for part in parts]
    first = lesson.held[0].answers[0]
    if not first.is_floating_point():
        raise SourceError(f"the model answers in {first.dtype}: there is nothing to learn from by degrees")
    sums = first.sum(-1)
    lesson.probabilities = bool((first >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3))
    return lesson


def _by_shape(samples: Samples, indices: list[int]) -> list[list[int]]:
    groups: defaultdict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    for index in indices:
        groups[tuple(each.shape for each in samples.inputs[index])].append(index)
    return list(groups.values())


def _stacked(samples: Samples, indices: list[int]) -> Tensors:
    """Samples of one shape as one tensor an input, their batch dimensions joined."""
    rows = [samples.inputs[index] for index in indices]
    return tuple(torch.from_numpy(np.concatenate(column)) for column in zip(*rows))


def _takes_batches(model: Run, samples: Samples, groups: list[list[int]]) -> bool:
    """Whether a model answers two samples at once as it answers each alone."""
    pair = next((group[:2] for group in groups if len(group) > 1), None)
    if pair is None:
        return False
    with torch.no_grad():
        alone = [model(*_stacked(samples, [index])) for index in pair]
        try:
            both = model(*_stacked(samples, pair))
        except Exception:  # whatever the user's code raises on a batch: then it takes none
            return False
    return all(_equal(a, torch.stack(b)) for a, b in zip(both, zip(*alone)))


def _equal(both: Tensor, alone: Tensor) -> bool:
    if both.dim() == 0 or len(both) != 2 or both.numel() != alone.numel():
        return False
    one, other = both.double().flatten(), alone.double().flatten()
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def _blend(one: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    weight = shares.to(one.dtype).view(-1, *[1] * (one.dim() - 1))
    return weight * one + (1 - weight) * other


def _divergence(ours: Tensor, theirs: Tensor) -> Tensor:
    # not softened by a temperature: 1 recovered more than 2 and 4 did
    logs = [functional.log_softmax(each, -1).flatten(0, -2) for each in (ours, theirs)]
    return functional.kl_div(logs[0], logs[1], log_target=True, reduction="batchmean")


def _named(scores: Tensor, labels: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    flat = scores.flatten(0, -2)
    own, mixed_in = (functional.cross_entropy(flat, each, reduction="none") for each in (labels, others))
    return (shares * own + (1 - shares) * mixed_in).mean()


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).square().mean() / theirs.square().mean().clamp_min(1e-12)
