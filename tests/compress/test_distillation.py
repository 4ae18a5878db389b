"""Recovery: learns back what pruning lost, the same each time, and ends well where it goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.arrays import Sample
from edgepack.compress import distillation_loss
from edgepack.compress import pruning as prune
from edgepack.compress.distillation import Distilled, distill
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
        answers = module(inputs)[0].argmax(1)
    return float((answers == torch.tensor(fashion.evaluation.labels)).double().mean() * 100)


def _same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _finite(module: nn.Module) -> bool:
    return all(bool(each.isfinite().all()) for each in module.state_dict().values())


def test_pruned_channels_are_learnt_back_without_labels(
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


def test_as_many_steps_with_the_same_seed_give_the_same_bits(
    recovered: Distilled, pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    again = distill(pruned, teacher, samples, classifier=True, steps=recovered.steps, rate=RATE)
    assert _same(again.module, recovered.module)
    other = distill(pruned, teacher, samples, classifier=True, steps=5, seed=1, rate=RATE)
    few = distill(pruned, teacher, samples, classifier=True, steps=5, rate=RATE)
    assert not _same(other.module, few.module)


def test_what_was_given_is_not_changed(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
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


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    ended = distill(pruned, teacher, samples, classifier=True, steps=60, rate=1e30)
    assert ended.steps < 60
    assert "the loss is no finite number" in ended.notes[0]
    assert _finite(ended.module)
    assert ended.after.rank >= ended.before.rank


def test_a_sample_that_is_no_number_ends_it_and_says_so(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    learnt = distillation_loss.prepare(pruned, teacher, samples, classifier=True, size=8, seed=0).learnt[0][0]
    rows = list(samples.inputs)
    rows[learnt] = (np.full_like(rows[learnt][0], np.nan),)
    poisoned = replace(samples, inputs=tuple(rows))
    ended = distill(pruned, teacher, poisoned, classifier=True, steps=60, rate=RATE)
    assert ended.steps < 60
    assert ended.notes[0].startswith("recovery stopped at step")
    assert _finite(ended.module)


def test_the_rate_that_suits_the_net_is_found(
    pruned: nn.Module, teacher: nn.Module, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rates in ((1e30, 0.02), (0.02, 1e-9), (0.02,)):
        monkeypatch.setattr("edgepack.compress.distillation.RATES", rates)
        found.append(distill(pruned, teacher, samples, classifier=True, steps=STEPS).module)
    assert _same(found[0], found[2])
    assert _same(found[1], found[2])


def test_minutes_end_it_too_and_tell_the_steps(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    told: list[float] = []
    timed = distill(
        pruned,
        teacher,
        samples,
        classifier=True,
        minutes=0.03,
        rate=RATE,
        progress=lambda done, doing: told.append(done),
    )
    assert timed.steps > 0
    assert told == sorted(told)
    assert told[-1] <= 1


def test_labels_are_learnt_from_where_there_are_any(teacher: nn.Module, fashion: Source) -> None:
    right = fashion.evaluation
    assert right.labels is not None
    wrong = replace(right, labels=tuple((label + 1) % 10 for label in right.labels))
    losses = []
    for each in (replace(right, labels=None), right, wrong):
        taught = distillation_loss.prepare(teacher, teacher, each, classifier=True, size=64, seed=0)
        losses.append(taught.loss(teacher, next(taught.batches())).item())
    assert losses[0] < 1e-6
    assert losses[0] < losses[1] < losses[2]


def test_evaluation_holds_out_a_fifth_that_is_never_learnt_from(teacher: nn.Module, samples: Samples) -> None:
    taught = distillation_loss.prepare(teacher, teacher, samples, classifier=True, size=64, seed=0)
    held = sum(len(batch.shares) for batch in taught.held)
    assert held == -(-len(samples) // 5)
    assert sorted({*taught.known, *taught.learnt[0]}) == list(range(len(samples)))
    assert not set(taught.known) & set(taught.learnt[0])


class _Half(nn.Module):
    """A model that answers with numbers that are no scores: the teacher's, through `form`."""

    def __init__(self, model: nn.Module, form: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model = model
        self.form = form

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.form(self.model(x)[0]),)


def test_outputs_that_are_no_classes_are_learnt_by_their_distance(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    maps = [_Half(each, lambda x: x[:, :, None].tanh()) for each in (pruned, teacher)]
    ended = distill(maps[0], maps[1], samples, classifier=False, steps=STEPS, rate=RATE)
    assert ended.after.agreement is None
    assert ended.after.sqnr_db > ended.before.sqnr_db + 1


def test_probabilities_teach_as_their_logits_do(teacher: nn.Module, samples: Samples) -> None:
    chances = _Half(teacher, lambda x: x.softmax(-1))
    assert distillation_loss.prepare(chances, chances, samples, classifier=True, size=8, seed=0).probabilities
    assert not distillation_loss.prepare(
        teacher, teacher, samples, classifier=True, size=8, seed=0
    ).probabilities


def test_a_model_of_one_sample_at_a_time_is_taught_that_way(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    alone = _Half(pruned, lambda x: x.view(1, 10))
    few = samples.take(range(20), "20")
    taught = distillation_loss.prepare(alone, teacher, few, classifier=True, size=4, seed=0)
    assert not taught.together
    ended = distill(alone, teacher, few, classifier=True, steps=2, rate=RATE)
    assert ended.module(torch.from_numpy(few.inputs[0][0]))[0].shape == (1, 10)


def test_samples_of_several_shapes_are_taught_each_among_its_like(
    pruned: nn.Module, teacher: nn.Module, samples: Samples
) -> None:
    rows: list[Sample] = [
        (each[0][:, :, :20],) if n % 2 else each for n, each in enumerate(samples.inputs[:40])
    ]
    several = Samples(tuple(rows), None, "40")
    taught = distillation_loss.prepare(pruned, teacher, several, classifier=True, size=4, seed=0)
    assert len(taught.learnt) == 2
    assert distill(pruned, teacher, several, classifier=True, steps=3, rate=RATE).steps == 3


def test_what_cannot_be_recovered_is_refused(pruned: nn.Module, teacher: nn.Module, samples: Samples) -> None:
    with pytest.raises(PlanError, match="minutes or steps"):
        distill(pruned, teacher, samples, classifier=True)
    with pytest.raises(SourceError, match="it needs 10 or more, nine holds 9"):
        distill(pruned, teacher, samples.take(range(9), "nine"), classifier=True, steps=1)
    whole = _Half(teacher, lambda x: x.argmax(-1, keepdim=True))
    with pytest.raises(SourceError, match="nothing to learn from"):
        distill(whole, whole, samples, classifier=False, steps=1)


def test_nan_ranks_below_everything() -> None:
    assert (
        distillation_loss.Likeness(None, math.nan, 8).rank < distillation_loss.Likeness(None, -50.0, 8).rank
    )
