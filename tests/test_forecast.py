"""The forecast: what a build will do is counted before it is done, emulator runs included."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from conftest import write_samples

from edgepack import formats, plan
from edgepack.emulator import arm
from edgepack.forecast import Forecast
from edgepack.options import BuildOptions
from edgepack.plan import Plan
from edgepack.progress import ProgressState, Step, Steps
from edgepack.scheme import SchemeName

FILES = {"onnx": 2, "executorch": 1}
"""Files of an export."""


class Shown:
    """A `Progress` that keeps what it is shown."""

    def __init__(self) -> None:
        self.states: list[ProgressState] = []

    def show(self, state: ProgressState) -> None:
        self.states.append(state)


class Build:
    """A build without any work: it announces the steps of the candidates that its searches try."""

    def __init__(self, settled: Plan, tried: dict[str, tuple[SchemeName, ...]], *, devices: bool) -> None:
        self.plan, self.tried, self.devices = settled, tried, devices
        self.shown = Shown()
        self.steps = Steps(self.shown, clock=lambda: 0.0)
        self.forecast = Forecast(settled, self.steps)
        self.exported: set[tuple[str, str, SchemeName]] = set()
        self.is_calibrated = False

    def run(self) -> list[ProgressState]:
        self.forecast.begin()
        self.steps.begin(Step("load"), "load")
        self.forecast.loaded({}, devices=self.devices)
        for wanted in self.plan.targets:
            for name in dict.fromkeys(step.format for step in wanted.steps):
                for number, scheme in enumerate(self.tried[name]):
                    self._candidate(wanted, name, scheme, number)
            self.forecast.over()
            self.steps.begin(Step("bundle"), "put together")
        self.steps.end()
        return self.shown.states

    def _candidate(self, wanted: plan.TargetPlan, name: str, scheme: SchemeName, number: int) -> None:
        if scheme == "w8a8" and not self.is_calibrated:
            self.is_calibrated = True
            for text in ("choose", "calibrate", "calibrate, equalized"):
                self.steps.of(Step("compress"))(text)
        key = (name, formats.load(name).variant(wanted.target), scheme)
        is_new = key not in self.exported or number > 1
        self.forecast.candidate(wanted, name, scheme, is_new=is_new)
        if is_new:
            self.exported.add(key)
            self.steps.begin(Step("export", name, scheme), "export")
            self.forecast.exported(wanted, name, scheme, FILES[name])
        for _ in range(FILES[name]):
            if is_new:
                self.steps.begin(Step("run", name, scheme), "run")
            if self.devices:
                self.steps.begin(Step("device", name, scheme), "run on the device")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator looks as if it were set up."""
    monkeypatch.setattr(arm, "is_available", lambda: True)
    monkeypatch.setattr(arm, "status", lambda: object())
    monkeypatch.setattr(arm, "unsuited", lambda target, name: "")


@pytest.fixture
def settled(here: Path) -> Plan:
    """A build for two devices that share all files."""
    write_samples(here)
    given = {"targets": ("raspberry-pi-4", "raspberry-pi-5"), "inputs": ("tensor:1x8",), "calib": "calib.npz"}
    return plan.resolve(BuildOptions(model="net.py:net", **given))  # type: ignore[arg-type]


def test_what_goes_as_expected_is_counted_from_the_beginning(settled: Plan) -> None:
    tried: dict[str, tuple[SchemeName, ...]] = {"onnx": ("fp32", "w8a8"), "executorch": ("fp32", "w8a8")}
    states = Build(settled, tried, devices=False).run()
    assert {state.total for state in states} == {len(states) - 1}


@pytest.mark.usefixtures("emulator")
def test_runs_on_devices_are_counted_for_each_target(settled: Plan) -> None:
    tried: dict[str, tuple[SchemeName, ...]] = {"onnx": ("fp32", "w8a8"), "executorch": ("fp32", "w8a8")}
    states = Build(settled, tried, devices=True).run()
    exports, runs, devices = 4, 6, 12
    assert {state.total for state in states} == {1 + 3 + exports + runs + devices + 2}
    assert states[-1].number == states[-1].total


@pytest.mark.usefixtures("emulator")
def test_an_emulator_that_is_not_there_after_all_leaves_its_steps_out(settled: Plan) -> None:
    tried: dict[str, tuple[SchemeName, ...]] = {"onnx": ("fp32", "w8a8"), "executorch": ("fp32", "w8a8")}
    states = Build(settled, tried, devices=False).run()
    assert states[0].total > states[1].total
    assert {state.total for state in states[1:]} == {len(states) - 1}


@pytest.mark.usefixtures("emulator")
def test_a_search_that_goes_on_is_expected_to_do_so_for_the_next_target(settled: Plan) -> None:
    tried: dict[str, tuple[SchemeName, ...]] = {
        "onnx": ("fp32", "w8a8", "w8a8", "w8a8"),
        "executorch": ("fp32", "w8a8"),
    }
    found = Build(settled, tried, devices=True)
    states = found.run()
    second = next(n for n, state in enumerate(states) if state.text == "put together") + 1
    assert states[0].total < len(states) - 1
    for before, after in itertools.pairwise(states):
        assert before.number * after.total <= after.number * before.total
    assert states[-1].number == states[-1].total == len(states) - 1
    assert states[second].text == "run on the device"
