"""Scores: outputs of a simulated quantized model compared with the float model's, on calibration samples.

A score decides which recipes are worth writing. The written file is evaluated on other samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.fx import GraphModule

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.compress.calibration import Calibration
from edgepack.compress.simulation import Simulation
from edgepack.contract.outputs.ranking import Pair, ranked
from edgepack.graph.ranges import Range
from edgepack.model.inference import tensors
from edgepack.recipe import Recipe

SAMPLES = 32
"""Calibration samples, the last ones, that scores are computed on. Corrections are measured on the first."""
_STANDARD_ERRORS = 2.0
"""A mean gain counts as certain from this many standard errors above zero."""
_MOST_DB = 200.0
"""SQNR of one sample is limited to this in both directions, so that its mean over samples is finite."""


@dataclass(frozen=True)
class Score:
    """How close simulated outputs come to the float model's."""

    sqnr_db: float
    """Of all outputs."""
    ranking_db: float
    """SQNR of the values that decide by the kinds of output: for classes, the differences between the five
    greatest scores of each sample."""
    agreement: float
    """Percent of samples with the same top class; 0 where the model has no classes."""
    samples_db: tuple[float, ...]
    """`ranking_db` of each sample, limited to ±200 dB."""

    def is_certainly_above(self, other: Score) -> bool:
        """Whether the mean gain over samples is more than chance explains."""
        gains = np.subtract(self.samples_db, other.samples_db)
        return bool(gains.mean() > _STANDARD_ERRORS * gains.std() / math.sqrt(len(gains)))


def score_recipe(
    calibration: Calibration,
    graph: GraphModule,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    samples: int = SAMPLES,
) -> Score:
    """The score of a graph with fake quantization by a recipe. The graph has its corrections already."""
    return score_model(calibration, Simulation(graph, recipe, ranges).run, samples)


def score_model(calibration: Calibration, model: Callable[..., object], samples: int = SAMPLES) -> Score:
    """The score of anything that runs like the graph: tensors in, a tuple of tensors out."""
    rows = calibration.samples.inputs[-SAMPLES:]
    activation = calibration.source.inside
    reference = calibration.once("reference", lambda: _reference(calibration, rows))
    with torch.no_grad():
        outputs = tuple(_outputs(model, row, activation) for row in rows[:samples])
    declared = calibration.source.contract.outputs
    pairs = calibration.once("ranked", lambda: ranked(declared, calibration.source.judged, reference))
    decisive = [pairs(*row) for row in zip(outputs, reference)]
    return _score(outputs, reference[:samples], decisive, declared[0].kind == "classification")


def _reference(calibration: Calibration, rows: tuple[Sample, ...]) -> tuple[Sample, ...]:
    module = calibration.source.exported.module()
    with torch.no_grad():
        return tuple(_outputs(module, row, calibration.source.inside) for row in rows)


def _outputs(model: Callable[..., object], row: Sample, activation: str) -> Sample:
    """The outputs for a sample, the first one before the activation that the graph applies to it."""
    outputs = model(*tensors(row))
    assert isinstance(outputs, (tuple, list))
    first, *others = (each.numpy() for each in outputs)
    return (metrics.deactivate(first, activation), *others)


def _score(
    outputs: tuple[Sample, ...], reference: tuple[Sample, ...], decisive: list[list[Pair]], has_classes: bool
) -> Score:
    same = metrics.agreement(metrics.top1(outputs), metrics.top1(reference)) if has_classes else 0.0
    return Score(
        sqnr_db=metrics.sqnr_db(
            pair for ours, theirs in zip(outputs, reference) for pair in zip(ours, theirs)
        ),
        ranking_db=metrics.sqnr_db(pair for sample in decisive for pair in sample),
        agreement=same,
        samples_db=tuple(float(np.clip(metrics.sqnr_db(each), -_MOST_DB, _MOST_DB)) for each in decisive),
    )
