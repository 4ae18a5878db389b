"""The loss of distillation, and how similar a student's outputs are to the teacher's.

Scores of classes: the Kullback-Leibler divergence between the class probabilities of teacher and student
(Hinton et al. 2015, arXiv:1503.02531), and with labels the cross entropy. Other outputs: the mean squared
error divided by the mean square of the teacher's output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgepack import metrics
from edgepack.arrays import Array, Sample
from edgepack.compress.distillation_dataset import Batch, DistillationDataset, Model, Tensors
from edgepack.compress.logits import logits

_LABEL_WEIGHT = 0.3
"""Share of the cross entropy with the labels in the loss, if labels are known."""


@dataclass(frozen=True)
class Similarity:
    """How similar a model's outputs are to the teacher's, on the validation samples."""

    agreement: float | None
    """Percentage of samples with the teacher's class; None unless the first output is scores of classes."""
    sqnr_db: float
    """Signal-to-quantization-noise ratio of all outputs, in dB."""
    samples: int

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key: agreement, rounded to one standard error, then SQNR. NaN ranks lowest."""
        standard_error = 50 / math.sqrt(self.samples)
        sqnr = -math.inf if math.isnan(self.sqnr_db) else self.sqnr_db
        return (round((self.agreement or 0.0) / standard_error), sqnr)

    def __str__(self) -> str:
        if self.agreement is None:
            return f"{self.sqnr_db:.1f} dB"
        return f"{self.agreement:.1f} % agreement"


def training_loss(model: Model, dataset: DistillationDataset, batch: Batch) -> Tensor:
    """The loss of a model on a batch: a scalar with a gradient, 0 if the outputs equal the teacher's.

    Outputs that are integers do not count.
    """
    outputs = dataset.run(model, batch.inputs)
    pairs = [pair for pair in zip(outputs, batch.teacher_outputs) if pair[1].is_floating_point()]
    if not dataset.classifier:
        return torch.stack([_relative_error(*pair) for pair in pairs]).sum()
    scores, teacher_scores = (logits(values, dataset.activation) for values in pairs[0])
    first = _divergence(scores, teacher_scores)
    if batch.labels is not None and batch.mixed_labels is not None:
        named = _cross_entropy(scores, batch.labels, batch.mixed_labels, batch.mix_ratios)
        first = (1 - _LABEL_WEIGHT) * first + _LABEL_WEIGHT * named
    return torch.stack([first, *(_relative_error(*pair) for pair in pairs[1:])]).sum()


@torch.no_grad()
def validation_loss(model: Model, dataset: DistillationDataset) -> float:
    """The mean loss over the validation batches; infinite if one of them is not finite."""
    losses = [float(training_loss(model, dataset, batch)) for batch in dataset.validation]
    mean = sum(losses) / len(losses)
    return mean if math.isfinite(mean) else math.inf


@torch.no_grad()
def similarity(model: Model, dataset: DistillationDataset) -> Similarity:
    """How similar a model's outputs are to the teacher's, on the validation samples."""
    noise = signal = 0.0
    classes: list[Array] = []
    teacher_classes: list[Array] = []
    for batch in dataset.validation:
        outputs, references = _arrays(dataset.run(model, batch.inputs)), _arrays(batch.teacher_outputs)
        of_batch = metrics.energies(zip(outputs, references))
        noise, signal = noise + of_batch[0], signal + of_batch[1]
        classes.append(metrics.class_index(outputs[0]).ravel())
        teacher_classes.append(metrics.class_index(references[0]).ravel())
    agreement = metrics.agreement(np.concatenate(classes), np.concatenate(teacher_classes))
    return Similarity(
        agreement=agreement if dataset.classifier else None,
        sqnr_db=metrics.decibels(noise, signal),
        samples=sum(len(batch) for batch in dataset.validation),
    )


def _arrays(outputs: Tensors) -> Sample:
    """Outputs in double precision."""
    return tuple(output.double().numpy() for output in outputs)


def _divergence(scores: Tensor, teacher_scores: Tensor) -> Tensor:
    """Kullback-Leibler divergence of softmax probabilities, the mean over all rows of classes."""
    # temperature 1: it recovered more accuracy than 2 and 4
    logs = [functional.log_softmax(values, -1).flatten(0, -2) for values in (scores, teacher_scores)]
    return functional.kl_div(logs[0], logs[1], log_target=True, reduction="batchmean")


def _cross_entropy(scores: Tensor, labels: Tensor, mixed_labels: Tensor, ratios: Tensor) -> Tensor:
    """Cross entropy with the labels of both samples of each mixture, weighted by their shares."""
    flat = scores.flatten(0, -2)
    own, mixed = (
        functional.cross_entropy(flat, target, reduction="none") for target in (labels, mixed_labels)
    )
    return (ratios * own + (1 - ratios) * mixed).mean()


def _relative_error(output: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error divided by the mean square of the reference."""
    return (output - reference).square().mean() / reference.square().mean().clamp_min(1e-12)
