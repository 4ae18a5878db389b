"""Knowledge distillation: a module that lost accuracy is fine-tuned to give the float model's outputs.

The float model is the teacher and the module the student (Hinton et al. 2015, arXiv:1503.02531). The samples
are the user's own and need no labels; see `distillation_dataset.py` and `distillation_loss.py`.
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

from edgepack.compress import distillation_dataset
from edgepack.compress.counts import count
from edgepack.compress.distillation_dataset import Batch, DistillationDataset, Model
from edgepack.compress.distillation_loss import Similarity, similarity, training_loss, validation_loss
from edgepack.contract.samples import Samples
from edgepack.errors import PlanError, SourceError
from edgepack.model.source import Source
from edgepack.silence import quiet

RATES = (0.02, 0.006, 0.002, 0.0006, 0.0002)
"""Learning rates of AdamW to try. The best rate of a small network is up to a hundred times that of a large
one."""
LARGE_MODEL_RATES = (0.0006, 0.0002, 0.00006)
"""Those of large models: higher rates destroy their trained weights, and each trial takes long."""
_LARGE = 1e8
"""Multiply-adds per sample from which a model counts as large."""
_WARM_UP = 20
"""Steps of linear warm-up, after which the rates of small models are compared."""
_TRIAL = 4
"""Steps after which the rates of large models are compared."""
_CONSTANT = 0.7
"""Share of all steps before the rate decays linearly to zero (Hägele et al. 2024, arXiv:2405.18392)."""
_BATCH_COST = 4e9
"""About the multiply-adds of one batch, which limits the memory of training."""
_SMALLEST, _LARGEST = 8, 128
"""Limits of the batch size, in samples."""
_VALIDATE_EVERY = 50
"""Fewest steps between two validations."""
_STABLE = 32
"""In smaller batches, batch norms keep their statistics: those of the batch would be too noisy."""
_STATISTICS = 512
"""Samples from which the statistics of batch norms are computed before training."""
_MAX_NORM = 1.0
"""Gradients are clipped to this L2 norm over all weights."""
_DECAY = 0.01
"""Weight decay of AdamW."""

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, 0..1, and a description."""


@dataclass(frozen=True)
class Distilled:
    """A module after distillation."""

    module: nn.Module
    """The best checkpoint; equal to the student if training did not improve it."""
    steps: int
    """Training steps that were run. Passed to `distill` as `steps`, they produce the same module again."""
    seconds: float
    before: Similarity
    after: Similarity
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
    fake_quantize: Callable[[nn.Module], nn.Module] | None = None,
    progress: Progress | None = None,
) -> Distilled:
    """Train a copy of `student` to give the outputs of `teacher`; neither is changed.

    Both take a sample's arrays by position and return a tuple of tensors, the first of them scores of
    classes [batch, classes] if `classifier`. A fifth of `samples` are validation samples, which select the
    best checkpoint. Labels are used if the samples have them. Weights that are zero stay zero. Training ends
    after `steps`, or without them within `minutes`; the same steps, seed and number of threads produce the
    same weights. Without a learning `rate`, the first steps are run with each of `RATES` (large models:
    `LARGE_MODEL_RATES`), and the best one is used. `fake_quantize` makes a module that shares the student's
    parameters and runs as if it were quantized: that module is then trained and validated.

    If the loss or a gradient is not finite, training ends with the best checkpoint so far and a note.
    Raises PlanError without `steps` and `minutes`, and SourceError if there are too few samples or the first
    output is not floating-point.
    """
    if not steps and minutes <= 0:
        raise PlanError("distillation needs a limit: give minutes or steps")
    begun = time.perf_counter()
    with quiet():
        module = copy.deepcopy(student).requires_grad_(True)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster
    model = fake_quantize(module) if fake_quantize else module
    dataset = distillation_dataset.prepare(
        model, teacher, samples, classifier=classifier, batch_size=_batch_size(module, samples), seed=seed
    )
    large = _cost(module, samples) >= _LARGE
    training = _Training(
        module,
        model,
        dataset,
        rates=(rate,) if rate is not None else LARGE_MODEL_RATES if large else RATES,
        trial=_TRIAL if large else _WARM_UP,
        schedule=_Schedule(steps, begun, 60 * minutes),
        progress=progress or _silent,
    )
    training.run()
    return Distilled(
        module=module.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        steps=training.schedule.step,
        seconds=time.perf_counter() - begun,
        before=training.before,
        after=training.after,
        notes=tuple(training.notes),
    )


@dataclass(frozen=True)
class TrainingBudget:
    """How long a model is trained: for a time in minutes, or for the number of steps of a recipe."""

    minutes: float
    steps: int | None
    seed: int

    @property
    def is_given(self) -> bool:
        """Whether there is any time, or any steps, to train for."""
        return bool(self.minutes or self.steps)

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps else f"at most {self.minutes:g} min"


def fine_tune(
    student: nn.Module,
    source: Source,
    budget: TrainingBudget,
    fake_quantize: Callable[[nn.Module], nn.Module] | None = None,
) -> Distilled:
    """A copy of `student`, distilled from the source's float model on its calibration samples.

    `fake_quantize`: see `distill`. Raises PlanError without calibration samples, SourceError if the source
    has no float module, and everything that `distill` raises.
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
        fake_quantize=fake_quantize,
    )


def _silent(done: float, description: str) -> None:
    """A `Progress` that shows nothing."""


def _batch_size(module: nn.Module, samples: Samples) -> int:
    """Samples per batch, by the cost of one sample."""
    return max(_SMALLEST, min(_LARGEST, int(_BATCH_COST // _cost(module, samples))))


def _cost(module: nn.Module, samples: Samples) -> int:
    """Multiply-adds per sample; at least 1."""
    example = tuple(torch.from_numpy(array) for array in samples.inputs[0])
    return max(1, count(module, example).multiply_adds)


@dataclass
class _Schedule:
    """When training ends, and the learning rate of each step: warm-up, constant, linear decay.

    With a time limit, the rate stays constant until `_CONSTANT` of the time is used. The total number of
    steps is fixed then, so that a later training with as many steps has the same rates.
    """

    total: int | None
    begun: float
    limit: float
    """Seconds; ignored if the number of steps is given."""
    step: int = 0

    def __post_init__(self) -> None:
        self.is_timed = not self.total

    @property
    def elapsed(self) -> float:
        """Share of the time that is used."""
        return (time.perf_counter() - self.begun) / self.limit

    @property
    def done(self) -> float:
        """Share of the work that is done."""
        return self.step / self.total if self.total else self.elapsed

    @property
    def is_late(self) -> bool:
        """Whether the time limit is exceeded."""
        return self.is_timed and self.elapsed >= 1

    @property
    def is_over(self) -> bool:
        """Whether training ends here: the time is used, or all steps are done."""
        return self.is_late or (bool(self.total) and self.step >= (self.total or 0))

    def restart(self) -> None:
        """Count steps from 0 again; the time continues."""
        self.step = 0
        if self.is_timed:
            self.total = None

    def advance(self) -> None:
        """Count a step."""
        self.step += 1
        if not self.total and self.elapsed >= _CONSTANT:
            self.total = math.ceil(self.step / _CONSTANT)

    def rate(self) -> float:
        """The learning rate of the next step, as a share of the peak rate."""
        if self.total and self.step >= _CONSTANT * self.total:
            return (self.total - self.step) / ((1 - _CONSTANT) * self.total)
        return min(1.0, (self.step + 1) / _WARM_UP)


@dataclass
class _Training:
    """The state of one training, with the best checkpoint so far."""

    module: nn.Module
    """The student, which holds the parameters."""
    model: Model
    """What runs: the student itself, or its fake-quantized form."""
    dataset: DistillationDataset
    rates: tuple[float, ...]
    trial: int
    """Steps after which the rates are compared."""
    schedule: _Schedule
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.after = similarity(self.model, self.dataset)
        self.best = _state(self.module)
        parameters = list(self.module.parameters())
        self.masks = [(weight, weight != 0) for weight in parameters if bool((weight == 0).any())]
        self.norms = [layer for layer in self.module.modules() if isinstance(layer, _BatchNorm)]
        self.start(self.rates[0])

    def start(self, rate: float) -> None:
        """Start or restart training with a peak learning rate."""
        self.peak = rate
        self.schedule.restart()
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=rate, weight_decay=_DECAY)

    def run(self) -> None:
        """Train to the end; the module then has the weights of the best checkpoint."""
        if self.norms and self.dataset.batched:
            self.recompute_statistics()
            self.validate()
        if len(self.rates) > 1:
            self.start(self.best_rate())
        every = max(_VALIDATE_EVERY, 10 * len(self.dataset.validation))
        for batch in self.dataset.batches():
            if not self.train(batch):
                reason = f"step {self.schedule.step + 1}: the loss is not finite"
                self.notes.append(f"fine-tuning stopped at {reason}; the best checkpoint is kept")
                break
            if self.schedule.is_over or self.schedule.step % every == 0:
                self.validate()
            if self.schedule.is_over:
                break
        if self.schedule.is_late and self.schedule.step != self.schedule.total:
            self.notes.append(f"fine-tuning ran out of time at step {self.schedule.step}")
        if self.after.rank <= self.before.rank:
            self.notes.append("fine-tuning did not help: the weights are unchanged")
        self.module.load_state_dict(self.best)

    def best_rate(self) -> float:
        """The rate with the least validation loss after the first steps, each from the same state."""
        weights, order = _state(self.module), self.dataset.generator.get_state()
        losses: dict[float, float] = {}
        for rate in self.rates:
            self.start(rate)
            steps = min(self.trial, self.schedule.total or self.trial)
            is_finite = all(self.train(batch) for batch in itertools.islice(self.dataset.batches(), steps))
            losses[rate] = validation_loss(self.model, self.dataset) if is_finite else math.inf
            self.module.load_state_dict(weights)
            self.dataset.generator.set_state(order)
            if self.schedule.is_late:
                break
        return min(losses, key=lambda rate: losses[rate])

    def recompute_statistics(self) -> None:
        """Compute the statistics of batch norms again: pruning has changed their inputs."""
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        with _updating(self.norms), torch.no_grad():
            for inputs in self.dataset.training_inputs(_STATISTICS):
                self.model(*inputs)
        for norm, momentum in zip(self.norms, momenta):
            norm.momentum = momentum

    def train(self, batch: Batch) -> bool:
        """Run one step. Returns False, without a step, if the loss or its gradient is not finite."""
        self.optimizer.param_groups[0]["lr"] = self.peak * self.schedule.rate()
        self.optimizer.zero_grad()
        with _updating(self.norms if len(batch) >= _STABLE else []):
            loss = training_loss(self.model, self.dataset, batch)
            loss.backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), _MAX_NORM)
        if not math.isfinite(float(loss.detach()) + float(norm)):
            return False
        self.optimizer.step()
        with torch.no_grad():
            for weight, mask in self.masks:
                weight.mul_(mask)
        self.schedule.advance()
        return True

    def validate(self) -> None:
        """Run the validation samples, and keep the weights if they are the best so far."""
        now = similarity(self.model, self.dataset)
        if now.rank > self.after.rank:
            self.after, self.best = now, _state(self.module)
        self.progress(min(1.0, self.schedule.done), f"fine-tune, step {self.schedule.step}: {self.after}")


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@contextmanager
def _updating(norms: list[_BatchNorm]) -> Iterator[None]:
    """Within the context, these batch norms use the statistics of each batch and update their own."""
    for norm in norms:
        norm.train()
    try:
        yield
    finally:
        for norm in norms:
            norm.eval()
