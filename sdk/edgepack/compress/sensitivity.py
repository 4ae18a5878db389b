"""Sensitivity analysis: what quantizing one layer alone costs at the output, and what it saves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch.fx import GraphModule, Node

from edgepack.compress import gptq, ptq, scoring
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import LayerCost, layer_costs
from edgepack.compress.gptq import RoundedLayer
from edgepack.graph import layers as graphs
from edgepack.graph.ranges import Range
from edgepack.recipe import Recipe
from edgepack.silence import quiet

SAMPLES = 8
"""Samples, of those that recipes are scored on, that single layers are scored on."""
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer in int8, all others in float, by simulation on calibration samples."""

    path: str
    sqnr_db: float
    """Of the outputs; the lower, the more sensitive the layer."""
    agreement: float
    """Percent of samples with the float model's top class."""
    bytes_saved: int
    """By int8 weights in place of fp32."""
    multiply_adds: int
    """That become int8."""
    share_of_bytes: float
    """Of all layers' weights, 0..1."""
    share_of_work: float
    """Of all layers' multiply-adds, 0..1."""


def analyze(calibration: Calibration) -> tuple[LayerSensitivity, ...]:
    """The sensitivity of each layer to the recipe that PTQ chooses, the most sensitive first."""
    return calibration.once("sensitivity", lambda: _analyze(calibration))


def _analyze(calibration: Calibration) -> tuple[LayerSensitivity, ...]:
    recipe = replace(ptq.choose_recipe(calibration), layers={})
    calibration.say("sensitivity analysis, layer by layer")
    with calibration.timed("sensitivity"):
        # what GPTQ does to one layer is placed into the plain graph, and taken out again
        plain = replace(recipe, correct_bias=False, gptq=False)
        shared, limits = ptq.quantize(calibration, plain)
        with quiet():
            module = copy.deepcopy(shared)
        costs = layer_costs(calibration.source)
        paths = gptq.candidates(module, recipe) if recipe.gptq else []
        solver = ptq.gptq_of(calibration, recipe.equalize) if paths else None
        rounded = solver.layers({path: ["w8a8"] for path in paths}) if solver else {}
        layers = graphs.layers(module)
        found = [
            _layer(calibration, path, costs, module, limits, layers[path], rounded.get((path, "w8a8")))
            for path in costs
        ]
    return tuple(sorted(found, key=lambda layer: layer.sqnr_db))


def _layer(
    calibration: Calibration,
    path: str,
    costs: Mapping[str, LayerCost],
    module: GraphModule,
    limits: Mapping[str, Range],
    layer: Node,
    rounded: RoundedLayer | None,
) -> LayerSensitivity:
    exact = gptq.current(module, layer)
    if rounded:
        gptq.place(module, layer, rounded)
    alone = Recipe("fp32", {path: "w8a8"})
    score = scoring.score_recipe(calibration, module, alone, limits, SAMPLES)
    gptq.place(module, layer, exact)
    cost = costs[path]
    work = sum(each.multiply_adds for each in costs.values())
    return LayerSensitivity(
        path=path,
        sqnr_db=score.sqnr_db,
        agreement=score.agreement,
        bytes_saved=cost.values * (_FLOAT_BYTES - 1),
        multiply_adds=cost.multiply_adds,
        share_of_bytes=cost.values / sum(each.values for each in costs.values()),
        share_of_work=cost.multiply_adds / work if work else 0.0,
    )
