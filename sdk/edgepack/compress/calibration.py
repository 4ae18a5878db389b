"""Calibration: activation histograms of a float graph, observed once per kind of equalization."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.fx import GraphModule

from edgepack.compress import cross_layer_equalization, noise_sensitivity, simulation
from edgepack.compress.noise_sensitivity import NoiseSensitivity
from edgepack.contract.samples import Samples
from edgepack.errors import EdgepackError, ExportError, first_line
from edgepack.graph import ranges
from edgepack.graph.ranges import Histogram, Range
from edgepack.model.source import Source
from edgepack.recipe import Equalization, RangeRule
from edgepack.scheme import INT8, Scheme
from edgepack.silence import quiet

MOST = 512
"""Calibration samples that are used at most."""

Result = TypeVar("Result")


@dataclass
class Calibration:
    """A source with calibration samples, and all that was computed from them, each result once.

    One build makes one for each source and uses it for all formats and targets.
    """

    source: Source
    say: Callable[[str], None] = lambda _: None
    """Called with the name of each step when the step begins."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time used so far, by kind of work: `calibration`, `repairs` and `sensitivity`."""
    _results: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def samples(self) -> Samples:
        """The calibration samples in use: the first `MOST` of the source's."""
        given = self.source.calib
        assert given is not None
        return given if len(given) <= MOST else given.take(range(MOST), given.origin)

    @contextmanager
    def timed(self, work: str) -> Iterator[None]:
        """Add the time that the block takes to `seconds[work]`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[work] = self.seconds.get(work, 0.0) + time.perf_counter() - begun

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result of `compute`, which is called for the first use of `key` only.

        Raises ExportError where the arithmetic of a correction fails on this model.
        """
        if key not in self._results:
            try:
                self._results[key] = compute()
            except EdgepackError:
                raise
            except Exception as cause:  # torch raises errors of no common base
                raise ExportError(
                    f"the corrections cannot be computed: {first_line(cause)}",
                    hint="please report it with the model; other schemes are not concerned",
                ) from cause
        result: Result = self._results[key]
        return result


@dataclass(frozen=True)
class Observed:
    """A float graph, equalized or not, and the histograms of its activations by node name."""

    graph: GraphModule
    """Shared by all that ask for it: copy it before a change."""
    histograms: dict[str, Histogram]
    _limits: dict[tuple[int, RangeRule, int], Range] = field(default_factory=dict, repr=False)

    def limits(self, name: str, rule: RangeRule, bits: int) -> Range:
        """The range of a node's activations by a rule, for codes of so many bits, chosen once."""
        histogram = self.histograms[name]
        key = (id(histogram), rule, bits)
        if key not in self._limits:
            self._limits[key] = ranges.by_rule(histogram, rule, bits)
        return self._limits[key]


def float_graph(source: Source) -> GraphModule:
    """A new copy of the source's graph, whose constants may be replaced."""
    with quiet():
        module = source.exported.module()
    assert isinstance(module, GraphModule)
    return module


def equalization_key(equalization: Equalization, scheme: Scheme) -> tuple[object, ...]:
    """Equal for equalizations of one graph that give the same result."""
    bits = (scheme.weight_bits, scheme.activation_bits)
    return ("none",) if equalization == "none" else (equalization, *bits)


def observe(calibration: Calibration, equalization: Equalization, scheme: Scheme = INT8) -> Observed:
    """The graph after an equalization for a scheme, and the histograms of its activations."""
    return calibration.once(
        ("observed", *equalization_key(equalization, scheme)),
        lambda: _observe(calibration, equalization, scheme),
    )


def _observe(calibration: Calibration, equalization: Equalization, scheme: Scheme) -> Observed:
    how = "" if equalization == "none" else f", cross-layer equalization ({equalization})"
    calibration.say(f"calibrate{how}")
    with calibration.timed("calibration"), torch.no_grad(), quiet():
        graph = float_graph(calibration.source)
        if equalization != "none":
            cross_layer_equalization.equalize(
                graph,
                noise_of(calibration, graph),
                clamped=equalization == "clamped",
                scheme=scheme,
            )
        histograms = ranges.observe(graph, calibration.samples, simulation.may_be_quantized)
        return Observed(graph, simulation.shared(graph, histograms))


def noise_of(calibration: Calibration, graph: GraphModule) -> NoiseSensitivity:
    """That of the graph before any equalization."""
    return calibration.once(
        "noise sensitivity",
        lambda: noise_sensitivity.measure(graph, calibration.samples, calibration.source.inside),
    )
