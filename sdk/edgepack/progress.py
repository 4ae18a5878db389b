"""Progress of a build or a check: which step it is at, and how long the rest will take.

A command states which steps it expects (`Steps.expect`) and begins them one by one (`Steps.begin`). A step
has a kind and, where that matters, a format and a scheme. Its duration is estimated from those measured in
this run, the most similar first, and from a table of typical ratios. Durations are shown and decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["load", "set up", "compress", "train", "export", "run", "device", "bundle", "verify"]
"""`run`: on this host; `device`: on the emulated device."""

TYPICAL_SECONDS: Mapping[tuple[str, ...], float] = {
    ("load",): 8.0,
    ("set up",): 20.0,
    ("compress",): 5.0,
    ("train",): 60.0,
    ("export",): 5.0,
    ("export", "executorch"): 6.0,
    ("export", "executorch", "fp32"): 14.0,
    ("export", "executorch", "w8a8"): 8.0,
    ("export", "coreml"): 4.0,
    ("export", "coreml", "fp16"): 8.0,
    ("export", "onnx"): 2.0,
    ("export", "onnx", "fp32"): 5.0,
    ("export", "torchscript"): 0.3,
    ("run",): 4.0,
    ("run", "coreml"): 12.0,
    ("run", "executorch"): 10.0,
    ("run", "onnx"): 1.5,
    ("device",): 10.0,
    ("bundle",): 1.0,
    ("verify",): 0.5,
}
"""Seconds of a step for a small network: their ratios count, as they are scaled to what is measured.

The float file is the first of its format: its export imports the toolchain."""

_WEIGHT = 0.6
"""Weight of the less similar steps in an estimate, in steps of the kind that is estimated."""
_WEIGHT_OF_TYPICAL = 0.05
"""Weight of the typical durations themselves, which say little about this machine and this model."""
_OVERRUN = 0.25
"""A step that takes longer than estimated is taken to last this share of its time longer."""
_LEARNED = 2
"""Steps that must end before the time left is shown."""


@dataclass(frozen=True)
class Step:
    """A step of a command."""

    kind: Kind
    format: str = ""
    scheme: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """From the general to the particular."""
        return tuple(filter(None, (self.kind, self.format, self.scheme)))


@dataclass(frozen=True)
class ProgressState:
    """Where a command is: at the beginning of a step, or at its end."""

    number: int
    """Of the step, from 1."""
    total: int
    """Steps expected by now, this one and those before it included."""
    text: str
    """What the step does; empty at the end."""
    fraction: float
    """Share of the time that is over, 0..1; never less than in a state before."""
    step_seconds: float
    """Estimated duration of the step."""
    rest_seconds: float
    """Estimated duration of the steps after it."""
    is_known: bool
    """Enough steps were measured for the estimates to be shown."""

    def seconds_left(self, since: float) -> float:
        """Estimated time until the end, `since` seconds after the step began."""
        return self.rest_seconds + max(self.step_seconds - since, _OVERRUN * since)


class Progress(Protocol):
    """Shows how far a command is."""

    def show(self, state: ProgressState) -> None:
        """Called when a step begins, and once at the end, with `number` and `total` equal."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def show(self, state: ProgressState) -> None:
        """Nothing."""


class Durations:
    """What steps took in this run, and what others will take."""

    def __init__(self, typical: Mapping[tuple[str, ...], float] = TYPICAL_SECONDS) -> None:
        self._typical = typical
        self._measured: dict[tuple[str, ...], list[float]] = {}
        """Of each path and all that begin with it: the sum of what was measured, and of what is typical."""

    def add(self, step: Step, seconds: float) -> None:
        """A step took `seconds`."""
        for path in _prefixes(step.path):
            sums = self._measured.setdefault(path, [0.0, 0.0])
            sums[0] += seconds
            sums[1] += self._prior(step)

    def estimate(self, step: Step) -> float:
        """Seconds that a step will take: its typical duration, scaled as similar steps were.

        The scale of all steps is refined by those of the same kind, then of the same format, then of the same
        scheme, each by the more steps the more.
        """
        prior, scale = self._prior(step), 1.0
        for path in _prefixes(step.path):
            measured, typical = self._measured.get(path, (0.0, 0.0))
            weight = _WEIGHT * prior if path else _WEIGHT_OF_TYPICAL * prior
            scale = (measured + weight * scale) / (typical + weight)
        return prior * scale

    def _prior(self, step: Step) -> float:
        return next(
            self._typical[path] for path in reversed(_prefixes(step.path)[1:]) if path in self._typical
        )


def _prefixes(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The beginnings of `path`, the empty one first."""
    return [path[:length] for length in range(len(path) + 1)]


class Steps:
    """The steps of a command: those that are over, the one that runs, those that are expected."""

    def __init__(
        self,
        progress: Progress | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        durations: Durations | None = None,
    ) -> None:
        self._progress = progress or Silent()
        self._clock = clock
        self._durations = durations or Durations()
        self._expected: dict[str, list[Step]] = {}
        self._running: tuple[Step, float] | None = None
        self._begun = clock()
        self._number = 0
        self._fraction = 0.0
        self._shown = (0, 1)
        """Number and total as they were shown last."""

    @property
    def total(self) -> int:
        """Steps that are over, that run, and that are expected."""
        return self._number + sum(len(steps) for steps in self._expected.values())

    def expect(self, owner: str, steps: Iterable[Step]) -> None:
        """State which steps `owner`, a part of the command, has still to begin; replaces the last one."""
        self._expected[owner] = list(steps)

    def begin(self, step: Step, text: str) -> None:
        """A step begins, and with that the one before it ends. It need not have been expected."""
        self._end_running()
        self._take(step)
        self._number += 1
        self._running = step, self._clock()
        estimate = self._durations.estimate(step)
        rest = sum(self._durations.estimate(each) for steps in self._expected.values() for each in steps)
        self._show(text, estimate, rest)

    def of(self, step: Step) -> Callable[[str], None]:
        """A function that takes a text and begins `step` with it."""
        return lambda text: self.begin(step, text)

    def end(self) -> None:
        """The command ends; what was expected and did not come is forgotten."""
        self._end_running()
        self._expected.clear()
        self._fraction = 1.0
        self._progress.show(ProgressState(self._number, self._number, "", 1.0, 0.0, 0.0, True))

    def _take(self, step: Step) -> None:
        """Take `step`, or one of its kind and format, from those expected."""
        for is_same in (_equal, _alike):
            for steps in self._expected.values():
                for place, other in enumerate(steps):
                    if is_same(step, other):
                        del steps[place]
                        return

    def _end_running(self) -> None:
        if self._running:
            step, begun = self._running
            self._durations.add(step, self._clock() - begun)
            self._running = None

    def _show(self, text: str, estimate: float, rest: float) -> None:
        elapsed = self._clock() - self._begun
        self._fraction = max(self._fraction, elapsed / (elapsed + estimate + rest or 1.0))
        total = self._shown_total()
        self._shown = self._number, total
        is_known = self._number > _LEARNED
        state = ProgressState(self._number, total, text, self._fraction, estimate, rest, is_known)
        self._progress.show(state)

    def _shown_total(self) -> int:
        """The total; where it has grown, only so much of it that number / total does not become less."""
        number, total = self._shown
        most = self._number * total // number if number else self.total
        return max(self._number, min(self.total, most))


def _equal(step: Step, other: Step) -> bool:
    return step == other


def _alike(step: Step, other: Step) -> bool:
    return (step.kind, step.format) == (other.kind, other.format)
