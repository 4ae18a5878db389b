"""The data set of a distillation: training batches with the teacher's outputs, and validation samples.

If samples are few, each is mixed with another one of its batch (mixup: Zhang et al. 2018, arXiv:1710.09412),
and the teacher runs on the mixture (function matching: Beyer et al. 2022, arXiv:2106.05237).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from edgepack.contract.samples import Samples
from edgepack.errors import SourceError

HOLD_OUT = 5
"""Every fifth sample, in a seeded order, is a validation sample."""
FEWEST = 10
"""Fewer samples cannot be split into training and validation samples."""
_MOST_VALIDATION = 2000
"""Most validation samples. The standard error of their agreement is about one percentage point."""
_MANY = 5000
"""From this number of training samples on, none are mixed: training sees each of them a few times only."""

Tensors = tuple[Tensor, ...]
Model = Callable[..., Tensors]
"""A model: takes input tensors by position and returns a tuple of tensors."""


@dataclass(frozen=True)
class Batch:
    """Samples of one shape, stacked along the batch dimension, with the targets of training."""

    inputs: Tensors
    teacher_outputs: Tensors
    labels: Tensor | None
    """Class indices, int64 [samples]."""
    mixed_labels: Tensor | None
    """Class indices of the samples that were mixed in, int64 [samples]."""
    mix_ratios: Tensor
    """Share of the sample itself in each input, float32 [samples] in 0..1; the rest is the one mixed in."""

    def __len__(self) -> int:
        return len(self.mix_ratios)


@dataclass
class DistillationDataset:
    """Samples with the outputs of a teacher: some to train on, the others to validate on."""

    teacher: Model
    samples: Samples
    classifier: bool
    """Whether the first output contains scores of classes."""
    batch_size: int
    batched: bool
    """Whether the models accept several samples at once; otherwise they run on one sample at a time."""
    generator: torch.Generator
    training: list[list[int]]
    """Indices of the training samples, one list for each shape."""
    validation: list[Batch] = field(default_factory=list)
    activation: str = "none"
    """The activation that the models apply to their first output: `none` or `softmax`."""
    cached_outputs: dict[int, Tensors] = field(default_factory=dict)
    """The teacher's outputs for samples that are not mixed, by index."""

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed: if they are few, and all inputs are floating-point."""
        few = sum(len(indices) for indices in self.training) < _MANY
        return few and all(array.dtype.kind == "f" for array in self.samples.inputs[0])

    def batches(self) -> Iterator[Batch]:
        """Training batches without end; each epoch has a new order."""
        while True:
            parts = [
                [indices[position] for position in part.tolist()]
                for indices in self.training
                for part in torch.randperm(len(indices), generator=self.generator).split(self.batch_size)
            ]
            full = [part for part in parts if len(part) == self.batch_size] or parts
            for position in torch.randperm(len(full), generator=self.generator).tolist():
                yield self._mixed(full[position]) if self.mixes else self.plain(full[position])

    def training_inputs(self, most: int) -> Iterator[Tensors]:
        """Batches of up to `most` training samples of each shape, without mixing."""
        for indices in self.training:
            for start in range(0, min(len(indices), most), 2 * self.batch_size):
                yield _stacked(self.samples, indices[start : start + 2 * self.batch_size])

    def plain(self, indices: list[int]) -> Batch:
        """A batch without mixing; the teacher runs once for each sample of the data set."""
        new = [index for index in indices if index not in self.cached_outputs]
        if new:
            outputs = self._teacher_outputs(_stacked(self.samples, new))
            self.cached_outputs.update(
                (index, tuple(output[row] for output in outputs)) for row, index in enumerate(new)
            )
        rows = (self.cached_outputs[index] for index in indices)
        outputs = tuple(torch.stack(column) for column in zip(*rows))
        labels = self._labels(indices)
        return Batch(_stacked(self.samples, indices), outputs, labels, labels, torch.ones(len(indices)))

    def _mixed(self, indices: list[int]) -> Batch:
        """A batch in which each sample is mixed with the next one, with the teacher's outputs for that."""
        stacked, labels = _stacked(self.samples, indices), self._labels(indices)
        ratios = torch.rand(len(indices), generator=self.generator)
        following = [*range(1, len(indices)), 0]
        inputs = tuple(_blend(values, values[following], ratios) for values in stacked)
        mixed_labels = labels[following] if labels is not None else None
        return Batch(inputs, self._teacher_outputs(inputs), labels, mixed_labels, ratios)

    def _teacher_outputs(self, inputs: Tensors) -> Tensors:
        with torch.no_grad():
            return self.run(self.teacher, inputs)

    def run(self, model: Model, inputs: Tensors) -> Tensors:
        """A model's outputs for stacked inputs, stacked along dimension 0."""
        if self.batched:
            return model(*inputs)
        rows = [model(*sample) for sample in zip(*(values.split(1) for values in inputs))]
        return tuple(torch.stack(column) for column in zip(*rows))

    def _labels(self, indices: list[int]) -> Tensor | None:
        if self.samples.labels is None or not self.classifier:
            return None
        return torch.tensor([self.samples.labels[index] for index in indices])


def prepare(
    student: Model, teacher: Model, samples: Samples, *, classifier: bool, batch_size: int, seed: int
) -> DistillationDataset:
    """Split `samples` by `seed`, and find out whether both models accept batches.

    Raises SourceError if there are too few samples, or if the teacher's first output is not
    floating-point.
    """
    if len(samples) < FEWEST:
        raise SourceError(
            f"distillation trains on some samples and validates on the others: it needs {FEWEST} or more, "
            f"{samples.origin} holds {len(samples)}"
        )
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    held_out = order[::HOLD_OUT][:_MOST_VALIDATION]
    training = _by_shape(samples, sorted(set(order) - set(held_out)))
    dataset = DistillationDataset(
        teacher,
        samples,
        classifier,
        batch_size=max(1, min(batch_size, sum(len(indices) for indices in training) // 4)),
        batched=all(_accepts_batches(model, samples, training) for model in (student, teacher)),
        generator=torch.Generator().manual_seed(seed),
        training=training,
    )
    dataset.validation = [
        dataset.plain(indices[start : start + batch_size])
        for indices in _by_shape(samples, held_out)
        for start in range(0, len(indices), batch_size)
    ]
    first = dataset.validation[0].teacher_outputs[0]
    if not first.is_floating_point():
        raise SourceError(f"the model's first output is {first.dtype}: distillation needs floating point")
    if _are_probabilities(first):
        dataset.activation = "softmax"
    return dataset


def _are_probabilities(values: Tensor) -> bool:
    """Whether values are not negative and sum to 1 along the last dimension."""
    sums = values.sum(-1)
    return bool((values >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3))


def _by_shape(samples: Samples, indices: list[int]) -> list[list[int]]:
    """Indices in one list for each shape of the inputs."""
    groups: defaultdict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    for index in indices:
        groups[tuple(array.shape for array in samples.inputs[index])].append(index)
    return list(groups.values())


def _stacked(samples: Samples, indices: list[int]) -> Tensors:
    """Samples of one shape as one tensor for each input, joined along their batch dimension."""
    rows = [samples.inputs[index] for index in indices]
    return tuple(torch.from_numpy(np.concatenate(column)) for column in zip(*rows))


def _accepts_batches(model: Model, samples: Samples, groups: list[list[int]]) -> bool:
    """Whether a model's outputs for two samples at once equal those for each of them."""
    pair = next((indices[:2] for indices in groups if len(indices) > 1), None)
    if pair is None:
        return False
    with torch.no_grad():
        single = [model(*_stacked(samples, [index])) for index in pair]
        try:
            batched = model(*_stacked(samples, pair))
        except Exception:  # whatever the user's code raises on a batch: it does not accept batches then
            return False
    return all(_equal(output, torch.stack(rows)) for output, rows in zip(batched, zip(*single)))


def _equal(batched: Tensor, single: Tensor) -> bool:
    if batched.dim() == 0 or len(batched) != 2 or batched.numel() != single.numel():
        return False
    one, other = batched.double().flatten(), single.double().flatten()
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def _blend(values: Tensor, others: Tensor, ratios: Tensor) -> Tensor:
    """Mixtures of values and others, both [samples, ...], by `ratios` [samples]."""
    weights = ratios.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
    return weights * values + (1 - weights) * others
