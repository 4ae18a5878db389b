"""Activation ranges: what calibration saw of each tensor, and the range it is quantized by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from edgepack.contract.samples import Samples
from edgepack.recipe import RangeRule

Range = tuple[float, float]
_BINS = 2048
_LEVELS = 255
"""Steps between the least and the greatest of 8 bits."""
_SHRINKS = np.linspace(0.3, 1.0, 36)


@dataclass(frozen=True)
class Histogram:
    """What one tensor held over all samples, as a histogram from `low` to `high`."""

    low: float
    high: float
    counts: NDArray[np.float64]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middles of the bins."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return np.asarray((edges[1:] + edges[:-1]) / 2)


def observe(graph: GraphModule, samples: Samples, wanted: Callable[[Node], bool]) -> dict[str, Histogram]:
    """Histograms of the float tensors of wanted nodes, by node name, over all samples (two passes)."""
    bounds = _Bounds(graph, wanted)
    for sample in samples.inputs:
        bounds.run(*(torch.from_numpy(array) for array in sample))
    histograms = _Histograms(graph, bounds.found)
    for sample in samples.inputs:
        histograms.run(*(torch.from_numpy(array) for array in sample))
    return {
        name: Histogram(*bounds.found[name], counts.numpy().astype(np.float64))
        for name, counts in histograms.found.items()
    }


class _Bounds(Interpreter):
    """Least and greatest of each wanted tensor, infinity left out: masks of attention hold it."""

    def __init__(self, graph: GraphModule, wanted: Callable[[Node], bool]) -> None:
        super().__init__(graph)
        self._wanted = wanted
        self.found: dict[str, Range] = {}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and self._wanted(n):
            finite = value if value.isfinite().all() else value[value.isfinite()]
            if finite.numel():
                low, high = (float(each) for each in torch.aminmax(finite))
                before = self.found.get(n.name, (low, high))
                self.found[n.name] = min(low, before[0]), max(high, before[1])
        return value


class _Histograms(Interpreter):
    """Counts of each tensor's values between the bounds seen before."""

    def __init__(self, graph: GraphModule, bounds: Mapping[str, Range]) -> None:
        super().__init__(graph)
        self._bounds = bounds
        self.found: dict[str, torch.Tensor] = {}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n.name in self._bounds and isinstance(value, torch.Tensor):
            low, high = self._bounds[n.name]
            counts = torch.histc(value.detach().float(), _BINS, low, high if high > low else low + 1)
            self.found[n.name] = self.found.get(n.name, 0) + counts
        return value


def by_rule(histogram: Histogram, rule: RangeRule) -> Range:
    """The range that a rule chooses."""
    if rule == "least-error":
        return least_error(histogram)
    return percentile(histogram, 99.999) if rule == "percentile" else min_max(histogram)


def min_max(seen: Histogram) -> Range:
    """All that was seen."""
    return seen.low, seen.high


def percentile(seen: Histogram, percent: float) -> Range:
    """What holds `percent` of the values, as much cut off below as above where both signs occur."""
    total = seen.counts.sum()
    share = np.cumsum(seen.counts) / total
    tail = (100 - percent) / 100
    low, high = seen.low, seen.high
    width = (high - low) / len(seen.counts)
    if low < 0:
        low = seen.low + width * int(np.searchsorted(share, tail))
    if high > 0:
        high = seen.low + width * (int(np.searchsorted(share, 1 - tail)) + 1)
    return low, min(high, seen.high)


def least_error(seen: Histogram) -> Range:
    """The clipped range by which 8 bits lose the least squared error (as in TensorRT's and
    Banner et al. 2019's clipping, arXiv:1810.05723), by search."""
    tried = {(seen.low * a, seen.high * b) for a in _ends(seen.low) for b in _ends(seen.high)}
    return min(sorted(tried), key=lambda each: squared_error(seen, each))


def _ends(end: float) -> Iterable[float]:
    return _SHRINKS.tolist() if end else (1.0,)


def squared_error(seen: Histogram, within: Range) -> float:
    """Mean squared error of 8-bit quantization by a range, from the histogram."""
    low, high = min(within[0], 0.0), max(within[1], 0.0)
    scale = (high - low) / _LEVELS or 1.0
    zero = np.round(-low / scale)
    codes = np.clip(np.round(seen.centres / scale) + zero, 0, _LEVELS)
    error = (codes - zero) * scale - seen.centres
    return float(np.sum(error**2 * seen.counts) / np.sum(seen.counts))
