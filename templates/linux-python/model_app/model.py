"""The model with all around it: its labels, what it has seen, and the state that it carries."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import runtime, scores
from .contract import CONTRACT, LABELS, MODEL, THREADS
from .monitor import Monitor
from .sample import Sample

HERE = Path(__file__).resolve().parent
"""The folder of the model file, its labels and its golden vectors."""
_INPUTS = [each["name"] for each in CONTRACT["inputs"]]
_OUTPUTS = [each["name"] for each in CONTRACT["outputs"]]


class Answer(NamedTuple):
    """What the model said."""

    outputs: list[NDArray[Any]]
    """In the contract's order, before the activation: see `scores.activate`."""
    seconds: float
    """Of the inference alone."""


class Model:
    """The model, loaded; for one thread at a time."""

    def __init__(self, threads: int = THREADS) -> None:
        """Raises RuntimeProblem where it does not load, OSError where its labels cannot be read."""
        self.labels = scores.read_labels(HERE / LABELS)
        self.monitor = Monitor()
        start = time.perf_counter()
        self.runtime: runtime.Runtime = runtime.load(HERE / MODEL, threads)
        self.monitor.load_ms = (time.perf_counter() - start) * 1e3
        self._state: dict[str, NDArray[Any]] = {}

    @property
    def about(self) -> str:
        """What it runs on, for people."""
        return self.runtime.about

    def run(self, given: Sample) -> Answer:
        """The answer to one sample, which monitoring counts. Raises what the runtime raises."""
        inputs = self._with_state(given.inputs)
        start = time.perf_counter()
        try:
            outputs = self.runtime.run(inputs)
        except Exception:
            self.monitor.failures += 1
            raise
        took = time.perf_counter() - start
        for each in CONTRACT["state"]:
            self._state[each["input"]] = outputs[_OUTPUTS.index(each["output"])]
        self.monitor.record(took * 1e3, given.milliseconds, scores.highest(outputs), given.mean)
        return Answer(outputs, took)

    def warm_up(self, given: Sample, count: int = 1) -> None:
        """Run without counting: the first run also allocates and tunes."""
        for _ in range(count):
            self.runtime.run(self._with_state(given.inputs))

    def reset(self) -> None:
        """Forget the state: the next call is the first of its stream."""
        self._state.clear()

    def _with_state(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Inputs that are carried from call to call are those of the call before, whatever a file holds."""
        found = list(inputs)
        for each in CONTRACT["state"]:
            place = _INPUTS.index(each["input"])
            first = np.full_like(inputs[place], each["initial"])
            found[place] = self._state.get(each["input"], first)
        return found
