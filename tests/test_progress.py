"""Progress: the number of steps is true, the share never goes back, and the time left is learned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from edgepack.progress import Durations, ProgressState, Step, Steps

LOAD, BUNDLE = Step("load"), Step("bundle")
FLOAT, INT8 = Step("export", "onnx", "fp32"), Step("export", "onnx", "w8a8")
RUN_FLOAT, RUN_INT8 = Step("run", "onnx", "fp32"), Step("run", "onnx", "w8a8")
TYPICAL = {("load",): 4.0, ("export",): 2.0, ("export", "onnx", "w8a8"): 4.0, ("run",): 1.0, ("bundle",): 1.0}


@dataclass
class Watch:
    """A `Progress` that keeps what it is shown, and a clock that the test moves."""

    now: float = 0.0
    states: list[ProgressState] = field(default_factory=list)

    def show(self, state: ProgressState) -> None:
        self.states.append(state)

    def clock(self) -> float:
        return self.now

    @property
    def counts(self) -> list[tuple[int, int]]:
        return [(state.number, state.total) for state in self.states]


def made(watch: Watch, *expected: Step) -> Steps:
    steps = Steps(watch, clock=watch.clock, durations=Durations(TYPICAL))
    steps.expect("all", expected)
    return steps


def run(watch: Watch, steps: Steps, did: Step, seconds: float) -> None:
    steps.begin(did, " ".join(did.path))
    watch.now += seconds


def test_what_is_expected_is_counted_and_it_ends_at_the_total() -> None:
    watch = Watch()
    steps = made(watch, LOAD, FLOAT, RUN_FLOAT, BUNDLE)
    for each in (LOAD, FLOAT, RUN_FLOAT, BUNDLE):
        run(watch, steps, each, 1.0)
    steps.end()
    assert watch.counts == [(1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
    assert watch.states[-1].fraction == 1
    assert watch.states[-1].seconds_left(0) == 0


def test_a_step_takes_its_own_expectation_or_one_of_its_kind_and_format() -> None:
    watch = Watch()
    steps = made(watch, FLOAT, INT8, BUNDLE)
    run(watch, steps, INT8, 1.0)
    run(watch, steps, Step("export", "onnx", "fp16"), 1.0)  # the place of fp32
    assert steps.total == 3
    run(watch, steps, Step("export", "executorch", "fp32"), 1.0)
    assert steps.total == 4
    steps.of(BUNDLE)("put together")
    assert watch.states[-1].text == "put together"
    assert watch.counts[-1] == (4, 4)


def test_steps_that_are_not_needed_leave_the_total() -> None:
    watch = Watch()
    steps = made(watch, LOAD, BUNDLE)
    steps.expect("onnx", [FLOAT, RUN_FLOAT, INT8, RUN_INT8])
    run(watch, steps, LOAD, 1.0)
    run(watch, steps, FLOAT, 1.0)
    steps.expect("onnx", [])
    run(watch, steps, BUNDLE, 1.0)
    assert watch.counts == [(1, 6), (2, 6), (3, 3)]


@pytest.mark.parametrize("more", range(1, 9))
def test_a_search_that_goes_on_adds_steps_and_the_share_never_goes_back(more: int) -> None:
    watch = Watch()
    steps = made(watch, LOAD, FLOAT, RUN_FLOAT, BUNDLE)
    for each in (LOAD, FLOAT, RUN_FLOAT):
        run(watch, steps, each, 1.0)
    for left in range(more, 0, -1):
        steps.expect("search", [INT8, RUN_INT8] * left)
        run(watch, steps, INT8, 1.0)
        run(watch, steps, RUN_INT8, 1.0)
    run(watch, steps, BUNDLE, 1.0)
    steps.end()
    for before, after in itertools.pairwise(watch.states):
        assert before.fraction <= after.fraction
        assert before.number * after.total <= after.number * before.total
    assert all(state.number < state.total for state in watch.states[:-2])
    assert watch.counts[-1] == watch.counts[-2] == (4 + 2 * more, 4 + 2 * more)


def test_an_estimate_is_the_typical_one_scaled_as_the_most_similar_steps_were() -> None:
    durations = Durations(TYPICAL)
    assert durations.estimate(INT8) == 4
    durations.add(LOAD, 40.0)
    assert 15 < durations.estimate(FLOAT) <= 20, "ten times slower than typical"
    for _ in range(3):
        durations.add(FLOAT, 2.0)
    assert durations.estimate(FLOAT) == pytest.approx(2, rel=0.3), "as measured, whatever the load took"
    assert durations.estimate(INT8) == pytest.approx(2 * durations.estimate(FLOAT), rel=0.3)
    assert durations.estimate(Step("export", "coreml", "p6")) < 5


def test_a_step_that_overruns_never_leaves_less_than_a_share_of_its_own_time() -> None:
    state = ProgressState(1, 2, "run", 0.5, step_seconds=10.0, rest_seconds=5.0, is_known=True)
    assert state.seconds_left(0) == 15
    assert state.seconds_left(4) == 11
    assert state.seconds_left(40) == 15


def build(slow: float) -> Iterator[tuple[Step, float]]:
    """A build of three formats, its kinds of steps unlike the typical ones, and all `slow` times slower."""
    unlike = {"load": 1.5, "export": 1.5, "run": 0.6, "device": 1.4, "bundle": 1.0}
    course = [LOAD]
    for name in ("onnx", "executorch", "coreml"):
        for scheme in ("fp32", "w8a8"):
            course += [Step("export", name, scheme), Step("run", name, scheme), Step("device", name, scheme)]
    for step in (*course, BUNDLE):
        yield step, Durations().estimate(step) * unlike[step.kind] * slow


@pytest.mark.parametrize("slow", [0.1, 1.0, 20.0])
def test_the_time_left_is_near_the_truth_from_a_third_on(slow: float) -> None:
    watch, course = Watch(), list(build(slow))
    steps = Steps(watch, clock=watch.clock)
    steps.expect("build", [step for step, _ in course])
    begun = []
    for step, seconds in course:
        begun.append(watch.now)
        run(watch, steps, step, seconds)
    steps.end()
    for at, state in zip(begun, watch.states):
        truth, told = watch.now - at, state.seconds_left(0)
        if at > watch.now / 3:
            assert told == pytest.approx(truth, rel=0.5), state
        if at > watch.now / 2:
            assert told == pytest.approx(truth, rel=0.35), state
