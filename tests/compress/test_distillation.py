"""Distillation: it recovers accuracy that pruning lost, is repeatable, and handles failed training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.arrays import Sample
from edgepack.compress import distillation_dataset
from edgepack.compress import pruning as prune
from edgepack.compress.distillation import Distilled, distill
from edgepack.compress.distillation_loss import Similarity, training_loss
from edgepack.contract.samples import Samples
from edgepack.errors import PlanError, SourceError
from edgepack.model import inference
from edgepack.model.source import Source

STEPS = 25
RATE = 0.02

Module = Callable[..., tuple[torch.Tensor, ...]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with inference.one_thread():
        yield


@pytest.fixture(scope="module")
def teacher(fashion: Source) -> nn.Module:
    assert fashion.module is not None
    return fashion.module


@pytest.fixture(scope="module")
def samples(fashion: Source) -> Samples:
    assert fashion.calib is not None
    return replace(fashion.calib, labels=None)


@pytest.fixture(scope="module")
def pruned(fashion: Source, teacher: nn.Module) -> nn.Module:
    return prune.structured(teacher, fashion.example, 0.3).module


@pytest.fixture(scope="module")
def recovered(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> Distilled:
    return distill(pruned, teacher, samples, classifier=True, steps=STEPS, rate=RATE)


def _accuracy(module: nn.Module, fashion: Source) -> float:
    inputs = torch.cat([torch.from_numpy(sample[0]) for sample in fashion.evaluation.inputs])
    with torch.no_grad():
        classes = module(inputs)[0].argmax(1)
    return float((classes == torch.tensor(fashion.evaluation.labels)).double().mean() * 100)


def _same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _finite(module: nn.Module) -> bool:
    return all(bool(each.isfinite().all()) for each in module.state_dict().values())


def test_distillation_recovers_accuracy_without_labels(
    recovered: Distilled, pruned: nn.Module, fashion: Source
) -> None:
    assert recovered.before.agreement is not None
    assert recovered.after.agreement is not None
    assert recovered.after.agreement > recovered.before.agreement + 10
    assert recovered.after.sqnr_db > recovered.before.sqnr_db
    assert _accuracy(recovered.module, fashion) > _accuracy(pruned, fashion) + 10
    assert recovered.steps == STEPS
    assert recovered.notes == ()
    assert not any(each.training for each in recovered.module.modules())


def test_same_steps_and_seed_produce_the_same_weights(
    recovered: Distilled, pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    again = distill(pruned, teacher, samples, classifier=True, steps=recovered.steps, rate=RATE)
    assert _same(again.module, recovered.module)
    other = distill(pruned, teacher, samples, classifier=True, steps=5, seed=1, rate=RATE)
    few = distill(pruned, teacher, samples, classifier=True, steps=5, rate=RATE)
    assert not _same(other.module, few.module)


def test_student_and_teacher_are_not_changed(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    before = [{name: each.clone() for name, each in one.state_dict().items()} for one in (pruned, teacher)]
    distill(pruned, teacher, samples, classifier=True, steps=2, rate=RATE)
    for state, module in zip(before, (pruned, teacher)):
        assert all(torch.equal(state[name], each) for name, each in module.state_dict().items())


def test_zeros_stay_zeros(fashion: Source, teacher: nn.Module, samples: Samples) -> None:
    sparse = prune.n_of_m(teacher, fashion.example)
    after = distill(sparse.module, teacher, samples, classifier=True, steps=3, rate=RATE)
    parameters = dict(after.module.named_parameters())
    for name, given in sparse.module.named_parameters():
        assert torch.equal(parameters[name] == 0, given == 0), name


def test_a_diverging_loss_keeps_the_best_checkpoint(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    ended = distill(pruned, teacher, samples, classifier=True, steps=60, rate=1e30)
    assert ended.steps < 60
    assert "the loss is not finite" in ended.notes[0]
    assert _finite(ended.module)
    assert ended.after.rank >= ended.before.rank


def test_a_nan_sample_ends_training_with_a_note(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    dataset = distillation_dataset.prepare(pruned, teacher, samples, classifier=True, batch_size=8, seed=0)
    first = dataset.training[0][0]
    rows = list(samples.inputs)
    rows[first] = (np.full_like(rows[first][0], np.nan),)
    poisoned = replace(samples, inputs=tuple(rows))
    ended = distill(pruned, teacher, poisoned, classifier=True, steps=60, rate=RATE)
    assert ended.steps < 60
    assert ended.notes[0].startswith("fine-tuning stopped at step")
    assert _finite(ended.module)


def test_the_best_learning_rate_is_used(
    pruned: nn.Module, teacher: nn.Module, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rates in ((1e30, 0.02), (0.02, 1e-9), (0.02,)):
        monkeypatch.setattr("edgepack.compress.distillation.RATES", rates)
        found.append(distill(pruned, teacher, samples, classifier=True, steps=STEPS).module)
    assert _same(found[0], found[2])
    assert _same(found[1], found[2])


def test_a_time_limit_ends_training(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    shares: list[float] = []
    timed = distill(
        pruned,
        teacher,
        samples,
        classifier=True,
        minutes=0.03,
        rate=RATE,
        progress=lambda done, description: shares.append(done),
    )
    assert timed.steps > 0
    assert shares == sorted(shares)
    assert shares[-1] <= 1


def test_labels_are_part_of_the_loss(teacher: nn.Module, fashion: Source) -> None:
    right = fashion.evaluation
    assert right.labels is not None
    wrong = replace(right, labels=tuple((label + 1) % 10 for label in right.labels))
    losses = []
    for each in (replace(right, labels=None), right, wrong):
        dataset = distillation_dataset.prepare(teacher, teacher, each, classifier=True, batch_size=64, seed=0)
        losses.append(training_loss(teacher, dataset, next(dataset.batches())).item())
    assert losses[0] < 1e-6
    assert losses[0] < losses[1] < losses[2]


def test_a_fifth_of_the_samples_is_for_validation_only(teacher: nn.Module, samples: Samples) -> None:
    dataset = distillation_dataset.prepare(teacher, teacher, samples, classifier=True, batch_size=64, seed=0)
    validation = sum(len(batch) for batch in dataset.validation)
    assert validation == -(-len(samples) // 5)
    assert sorted({*dataset.cached_outputs, *dataset.training[0]}) == list(range(len(samples)))
    assert not set(dataset.cached_outputs) & set(dataset.training[0])


class _Wrapped(nn.Module):
    """A model whose first output is passed through `function`."""

    def __init__(self, model: nn.Module, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.function(self.model(x)[0]),)


def test_outputs_other_than_classes_are_trained_by_their_error(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    maps = [_Wrapped(each, lambda x: x[:, :, None].tanh()) for each in (pruned, teacher)]
    ended = distill(maps[0], maps[1], samples, classifier=False, steps=STEPS, rate=RATE)
    assert ended.after.agreement is None
    assert ended.after.sqnr_db > ended.before.sqnr_db + 1


def test_softmax_outputs_are_detected(teacher: nn.Module, samples: Samples) -> None:
    probabilities = _Wrapped(teacher, lambda x: x.softmax(-1))
    for model, activation in ((probabilities, "softmax"), (teacher, "none")):
        dataset = distillation_dataset.prepare(model, model, samples, classifier=True, batch_size=8, seed=0)
        assert dataset.activation == activation


def test_a_model_without_batches_runs_on_one_sample_at_a_time(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    alone = _Wrapped(pruned, lambda x: x.view(1, 10))
    few = samples.take(range(20), "20")
    dataset = distillation_dataset.prepare(alone, teacher, few, classifier=True, batch_size=4, seed=0)
    assert not dataset.batched
    ended = distill(alone, teacher, few, classifier=True, steps=2, rate=RATE)
    assert ended.module(torch.from_numpy(few.inputs[0][0]))[0].shape == (1, 10)


def test_batches_hold_samples_of_one_shape(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    rows: list[Sample] = [
        (each[0][:, :, :20],) if n % 2 else each for n, each in enumerate(samples.inputs[:40])
    ]
    several = Samples(tuple(rows), None, "40")
    dataset = distillation_dataset.prepare(pruned, teacher, several, classifier=True, batch_size=4, seed=0)
    assert len(dataset.training) == 2
    assert distill(pruned, teacher, several, classifier=True, steps=3, rate=RATE).steps == 3


def test_invalid_requests_are_refused(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    with pytest.raises(PlanError, match="minutes or steps"):
        distill(pruned, teacher, samples, classifier=True)
    with pytest.raises(SourceError, match="it needs 10 or more, nine holds 9"):
        distill(pruned, teacher, samples.take(range(9), "nine"), classifier=True, steps=1)
    whole = _Wrapped(teacher, lambda x: x.argmax(-1, keepdim=True))
    with pytest.raises(SourceError, match="distillation needs floating point"):
        distill(whole, whole, samples, classifier=False, steps=1)


def test_nan_ranks_below_everything() -> None:
    assert Similarity(None, math.nan, 8).rank < Similarity(None, -50.0, 8).rank
