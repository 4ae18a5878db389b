"""Recovery: a module that lost accuracy learns again to answer as the float model does.

Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531) on the user's own samples, no labels
needed. Where they are few, each is mixed with another one of its batch and the float model answers
the mixture (Beyer et al. 2022, arXiv:2106.05237): a few hundred samples then teach like many.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgepack.compress import distillation_loss
from edgepack.compress.counts import count
from edgepack.compress.distillation_loss import Batch, Lesson, Likeness, Run
from edgepack.contract.samples import Samples
from edgepack.errors import PlanError, SourceError
from edgepack.model.source import Source
from edgepack.silence import quiet

RATES = (0.02, 0.006, 0.002, 0.0006, 0.0002)
"""AdamW's learning rates that are tried; a small net learns at a hundred times a large one's."""
GENTLE = (0.0006, 0.0002, 0.00006)
"""Those of large nets: more would destroy what they know, and each trial takes long."""
_LARGE = 1e8
"""Multiply-adds of a sample from which a net counts as large."""
_WARM_UP = 20
"""Steps in which the rate rises, and after which small nets' rates are compared."""
_TRIAL = 4
"""Steps after which large nets' rates are compared."""
_STEADY = 0.7
"""The share of all steps before the rate falls to nothing (Hägele et al. 2024, arXiv:2405.18392)."""
_WORK = 4e9
"""Multiply-adds of one batch, about: it bounds the memory that training takes."""
_SMALLEST, _LARGEST = 8, 128
"""Samples a batch."""
_EVERY = 50
"""Least steps between two looks at the held-out samples."""
_STABLE = 32
"""In smaller batches, batch norms keep their statistics: those of a batch would be too rough."""
_SEEN = 512
"""Samples that give batch norms their statistics at the beginning."""
_CLIP = 1.0
"""Longest gradient, as a norm over all weights."""
_DECAY = 0.01
"""AdamW's weight decay."""

Progress = Callable[[float, str], None]
"""Told the share of the work that is done, and in words how it goes."""


@dataclass(frozen=True)
class Distilled:
    """A module after recovery."""

    module: nn.Module
    """The best checkpoint; equal to the module that was given where none was better."""
    steps: int
    """Training steps that were run; given as `steps`, they lead to the same module again."""
    seconds: float
    before: Likeness
    after: Likeness
    notes: tuple[str, ...]


def distill(
    student: nn.Module,
    teacher: nn.Module,
    samples: Samples,
    *,
    classifier: bool,
    minutes: float = 0.0,
    steps: int | None = None,
    seed: int = 0,
    rate: float | None = None,
    fake: Callable[[nn.Module], nn.Module] | None = None,
    progress: Progress | None = None,
) -> Distilled:
    """Train a copy of `student` to answer as `teacher` does; neither is changed.

    Both take a sample's arrays by position and answer with a tuple of tensors, the first of them scores
    of classes if `classifier`. A fifth of `samples` measures and picks the best checkpoint. With labels,
    they are learnt from, too. Weights that are zero stay zero. It ends after `steps`, or, where they are
    not given, within `minutes`; as many steps with the same seed and number of threads give the same
    weights. Without a `rate`, the first steps are made with each of `RATES`, and the best one is taken.
    `fake` makes a module that shares the student's parameters and runs as if it were quantized: that
    one is trained and measured then.

    A loss or a gradient that is no number ends it with the last good checkpoint and a note.
    Raises PlanError without a bound, SourceError where there are too few samples or nothing to learn.
    """
    if not steps and minutes <= 0:
        raise PlanError("recovery needs a bound: give minutes or steps")
    begun = time.perf_counter()
    with quiet():
        module = copy.deepcopy(student).requires_grad_(True)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster
    run = fake(module) if fake else module
    size = _size(module, samples)
    taught = distillation_loss.prepare(run, teacher, samples, classifier=classifier, size=size, seed=seed)
    large = _cost(module, samples) >= _LARGE
    rates = (rate,) if rate is not None else GENTLE if large else RATES
    clock = _Clock(steps, begun, 60 * minutes)
    course = _Course(module, run, taught, rates, _TRIAL if large else _WARM_UP, clock, progress or _silent)
    course.run_through()
    return Distilled(
        module=module.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        steps=course.clock.step,
        seconds=time.perf_counter() - begun,
        before=course.before,
        after=course.after,
        notes=tuple(course.notes),
    )


@dataclass(frozen=True)
class TrainingBudget:
    """How long a model is trained: for a time, or for a number of steps where a recipe gives one."""

    minutes: float
    steps: int | None
    seed: int

    @property
    def is_given(self) -> bool:
        """There is time, or there are steps, to train for."""
        return bool(self.minutes or self.steps)

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps else f"at most {self.minutes:g} min"


def fine_tune(
    student: nn.Module,
    source: Source,
    budget: TrainingBudget,
    fake: Callable[[nn.Module], nn.Module] | None = None,
) -> Distilled:
    """A copy of `student`, distilled from the source's float model on its calibration samples.

    Raises PlanError without calibration samples, SourceError where the source has no float module, and
    what `distill` raises.
    """
    if source.calib is None:
        raise PlanError("fine-tuning needs samples to train on: give --calib")
    if source.module is None:
        raise SourceError("this source keeps no float module to distill from")
    return distill(
        student,
        source.module,
        source.calib,
        classifier=source.contract.classes is not None,
        minutes=budget.minutes,
        steps=budget.steps,
        seed=budget.seed,
        fake=fake,
    )


def _silent(done: float, doing: str) -> None:
    """A `Progress` that shows nothing."""


def _size(module: nn.Module, samples: Samples) -> int:
    """Samples a batch, by what one costs."""
    return max(_SMALLEST, min(_LARGEST, int(_WORK // _cost(module, samples))))


def _cost(module: nn.Module, samples: Samples) -> int:
    """Multiply-adds of a sample; one at least."""
    example = tuple(torch.from_numpy(array) for array in samples.inputs[0])
    return max(1, count(module, example).multiply_adds)


@dataclass
class _Clock:
    """When training ends: after a number of steps, or before the time is up.

    By time, the rate stays until most of it is used; how many steps follow is settled then, so that
    the same number of steps can be run again with the same rates.
    """

    total: int | None
    begun: float
    limit: float
    """Seconds; not looked at where the steps are given."""
    step: int = 0

    def __post_init__(self) -> None:
        self.timed = not self.total

    @property
    def elapsed(self) -> float:
        """Share of the time that is used."""
        return (time.perf_counter() - self.begun) / self.limit

    @property
    def done(self) -> float:
        """Share of the work that is done."""
        return self.step / self.total if self.total else self.elapsed

    @property
    def late(self) -> bool:
        """Whether the time is up before the steps are done."""
        return self.timed and self.elapsed >= 1

    @property
    def over(self) -> bool:
        return self.late or (bool(self.total) and self.step >= (self.total or 0))

    def restart(self) -> None:
        """No step was made yet; the time goes on."""
        self.step = 0
        if self.timed:
            self.total = None

    def tick(self) -> None:
        """A step was made."""
        self.step += 1
        if not self.total and self.elapsed >= _STEADY:
            self.total = math.ceil(self.step / _STEADY)

    def rate(self) -> float:
        """The learning rate of the next step, as a share of the highest."""
        if self.total and self.step >= _STEADY * self.total:
            return (self.total - self.step) / ((1 - _STEADY) * self.total)
        return min(1.0, (self.step + 1) / _WARM_UP)


@dataclass
class _Course:
    """One training: where it stands, and the best so far."""

    module: nn.Module
    run: Run
    lesson: Lesson
    rates: tuple[float, ...]
    trial: int
    """Steps after which the rates are compared."""
    clock: _Clock
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.after = self.lesson.likeness(self.run)
        self.best = _state(self.module)
        self.zeros = [(each, each != 0) for each in self.module.parameters() if bool((each == 0).any())]
        self.norms = [each for each in self.module.modules() if isinstance(each, _BatchNorm)]
        self.start(self.rates[0])

    def start(self, rate: float) -> None:
        """Begin to learn, or begin again, at a rate."""
        self.peak = rate
        self.clock.restart()
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=rate, weight_decay=_DECAY)

    def run_through(self) -> None:
        """Train to the end; the module then holds the best checkpoint."""
        if self.norms and self.lesson.together:
            self.settle()
            self.look()
        if len(self.rates) > 1:
            self.start(self.best_rate())
        every = max(_EVERY, 10 * len(self.lesson.held))
        for batch in self.lesson.batches():
            if not self.learn(batch):
                where = f"step {self.clock.step + 1}: the loss is no finite number any more"
                self.notes.append(f"recovery stopped at {where}; the last good checkpoint is kept")
                break
            if self.clock.over or self.clock.step % every == 0:
                self.look()
            if self.clock.over:
                break
        if self.clock.late and self.clock.step != self.clock.total:
            self.notes.append(f"recovery ran out of time at step {self.clock.step}")
        if self.after.rank <= self.before.rank:
            self.notes.append("recovery did not help: the module is as it was")
        self.module.load_state_dict(self.best)

    def best_rate(self) -> float:
        """The rate whose first steps bring the module nearest to the float model; all begin alike."""
        begin, order = _state(self.module), self.lesson.draw.get_state()
        nearness: dict[float, float] = {}
        for rate in self.rates:
            self.start(rate)
            first = itertools.islice(self.lesson.batches(), min(self.trial, self.clock.total or self.trial))
            good = all(self.learn(batch) for batch in first)
            nearness[rate] = -self.lesson.held_loss(self.run) if good else -math.inf
            self.module.load_state_dict(begin)
            self.lesson.draw.set_state(order)
            if self.clock.late:
                break
        return max(nearness, key=lambda rate: nearness[rate])

    def settle(self) -> None:
        """Give batch norms the statistics of what they see now: pruning has changed it."""
        pace = [each.momentum for each in self.norms]
        for each in self.norms:
            each.reset_running_stats()
            each.momentum = None  # the mean over all batches
        with _training(self.norms), torch.no_grad():
            for inputs in self.lesson.inputs(_SEEN):
                self.run(*inputs)
        for each, momentum in zip(self.norms, pace):
            each.momentum = momentum

    def learn(self, batch: Batch) -> bool:
        """One step; False, and no step, where the loss or its gradient is not finite."""
        self.optimizer.param_groups[0]["lr"] = self.peak * self.clock.rate()
        self.optimizer.zero_grad()
        with _training(self.norms if len(batch.shares) >= _STABLE else []):
            loss = self.lesson.loss(self.run, batch)
            loss.backward()
        length = nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP)
        if not math.isfinite(float(loss.detach()) + float(length)):
            return False
        self.optimizer.step()
        with torch.no_grad():
            for weight, kept in self.zeros:
                weight.mul_(kept)
        self.clock.tick()
        return True

    def look(self) -> None:
        """Measure on the held-out samples; the best so far is kept."""
        now = self.lesson.likeness(self.run)
        if now.rank > self.after.rank:
            self.after, self.best = now, _state(self.module)
        self.progress(min(1.0, self.clock.done), f"recover, step {self.clock.step}: {_told(self.after)}")


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in module.state_dict().items()}


def _told(likeness: Likeness) -> str:
    if likeness.agreement is None:
        return f"{likeness.sqnr_db:.1f} dB"
    return f"{likeness.agreement:.1f} % agreement"


@contextmanager
def _training(norms: list[_BatchNorm]) -> Iterator[None]:
    """These batch norms take a batch's own statistics and note them; all else stays as at inference."""
    for each in norms:
        each.train()
    try:
        yield
    finally:
        for each in norms:
            each.eval()
