"""Activation ranges: histograms of what calibration observed, and the ranges that rules choose from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from edgepack.contract.samples import Samples
from edgepack.graph.quantization_grid import greatest_code
from edgepack.recipe import RangeRule

Range = tuple[float, float]
"""The least and the greatest value of a tensor that is quantized."""
_BINS = 2048
_PERCENT = 99.999
"""Of the values, kept by the rule `percentile`."""
_SHRINKS = np.linspace(0.3, 1.0, 36)
"""Shares of each end of a range that the rule `least-error` tries."""


@dataclass(frozen=True)
class Histogram:
    """The values of one tensor over all samples, counted in equal bins from `low` to `high`."""

    low: float
    high: float
    counts: NDArray[np.float64]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middles of the bins."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return np.asarray((edges[1:] + edges[:-1]) / 2)


def observe(graph: GraphModule, samples: Samples, wanted: Callable[[Node], bool]) -> dict[str, Histogram]:
    """Histograms of the float tensors of wanted nodes, by node name, over all samples.

    Each sample runs twice: once for the least and greatest values, once for the counts between them.
    """
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
    """Least and greatest finite value of each wanted tensor. Masks of attention contain infinity."""

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
    """Counts of each tensor's values between known bounds."""

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


def by_rule(histogram: Histogram, rule: RangeRule, bits: int = 8) -> Range:
    """The range that a rule chooses for activations of so many bits."""
    if rule == "least-error":
        return least_error(histogram, bits)
    return percentile(histogram, _PERCENT) if rule == "percentile" else min_max(histogram)


def min_max(histogram: Histogram) -> Range:
    """The least and the greatest value."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram, percent: float) -> Range:
    """The range that contains `percent` of the values.

    As much is cut off below as above; nothing is cut off at an end that is zero.
    """
    total = histogram.counts.sum()
    share = np.cumsum(histogram.counts) / total
    tail = (100 - percent) / 100
    low, high = histogram.low, histogram.high
    width = (high - low) / len(histogram.counts)
    if low < 0:
        low = histogram.low + width * int(np.searchsorted(share, tail))
    if high > 0:
        high = histogram.low + width * (int(np.searchsorted(share, 1 - tail)) + 1)
    return low, min(high, histogram.high)


def least_error(histogram: Histogram, bits: int = 8) -> Range:
    """The clipped range whose quantization has the least squared error, by search over both ends.

    TensorRT and Banner et al. 2019 (arXiv:1810.05723) clip by such criteria.
    """
    lows = sorted(histogram.low * share for share in _shares(histogram.low))
    highs = np.array(sorted(histogram.high * share for share in _shares(histogram.high)))
    errors = np.stack([_squared_errors(histogram, low, highs, bits) for low in lows])
    row, column = np.unravel_index(int(errors.argmin()), errors.shape)
    return lows[row], float(highs[column])


def _shares(end: float) -> Iterable[float]:
    return _SHRINKS.tolist() if end else (1.0,)


def squared_error(histogram: Histogram, limits: Range, bits: int = 8) -> float:
    """Mean squared error of values quantized by a range, from the histogram."""
    return float(_squared_errors(histogram, limits[0], np.array([limits[1]]), bits)[0])


def _squared_errors(
    histogram: Histogram, low: float, highs: NDArray[np.float64], bits: int
) -> NDArray[np.float64]:
    """Mean squared errors by the ranges from `low` to each of `highs`."""
    last = greatest_code(bits)
    filled = histogram.counts > 0
    values, counts = histogram.centres[filled], histogram.counts[filled]
    least = min(low, 0.0)
    scale = ((np.maximum(highs, 0.0) - least) / last)[:, None]
    scale[scale == 0] = 1.0
    zero = np.round(-least / scale)
    codes = np.round(values / scale)
    codes += zero
    np.clip(codes, 0, last, out=codes)
    codes -= zero
    codes *= scale
    codes -= values
    codes *= codes
    return np.asarray(codes @ counts / np.sum(counts))
