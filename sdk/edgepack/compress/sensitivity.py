"""Sensitivity analysis: what quantizing one layer alone costs at the output, and what it saves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch.fx import GraphModule

from edgepack.compress import gptq, ptq, scoring
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import LayerCost, layer_costs
from edgepack.compress.gptq import RoundedLayer
from edgepack.compress.scoring import Score
from edgepack.graph import layers as graphs
from edgepack.recipe import Recipe
from edgepack.scheme import INT8, SCHEMES, Scheme, SchemeName
from edgepack.silence import quiet

SAMPLES = 8
"""Samples, of those that recipes are scored on, that single layers are scored on."""
_FLOAT_BITS = 32


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer quantized, all others in float, by simulation on calibration samples."""

    path: str
    sqnr_db: float
    """Of the outputs; the lower, the more sensitive the layer."""
    agreement: float
    """Percent of samples with the float model's top class."""
    bytes_saved: int
    """By quantized weights in place of fp32."""
    multiply_adds: int
    """That are then computed in integers."""
    share_of_bytes: float
    """Of all layers' weights, 0..1."""
    share_of_work: float
    """Of all layers' multiply-adds, 0..1."""


def analyze(calibration: Calibration, scheme: SchemeName = INT8.name) -> tuple[LayerSensitivity, ...]:
    """The sensitivity of each layer to the recipe that PTQ chooses for a scheme with static activations.

    The most sensitive layer is first.
    """
    return calibration.once(("sensitivity", scheme), lambda: _analyze(calibration, scheme))


def _analyze(calibration: Calibration, scheme: SchemeName) -> tuple[LayerSensitivity, ...]:
    recipe = replace(ptq.choose_recipe(calibration, scheme), layers={})
    calibration.say("sensitivity analysis, layer by layer")
    with calibration.timed("sensitivity"):
        # what GPTQ does to one layer is placed into the plain graph, and taken out again
        plain = replace(recipe, correct_bias=False, gptq=False)
        shared, limits = ptq.quantize(calibration, plain)
        with quiet():
            module = copy.deepcopy(shared)
        costs = layer_costs(calibration.source)
        rounded = _rounded(calibration, module, recipe)
        nodes = graphs.layers(module)
        layers = []
        for path in costs:
            alone = Recipe("fp32", {path: scheme})
            exact = gptq.current(module, nodes[path])
            if path in rounded:
                gptq.place(module, nodes[path], rounded[path])
            score = scoring.score_recipe(calibration, module, alone, limits, SAMPLES)
            gptq.place(module, nodes[path], exact)
            layers.append(_layer(path, score, costs, SCHEMES[scheme]))
    return tuple(sorted(layers, key=lambda layer: layer.sqnr_db))


def _rounded(calibration: Calibration, module: GraphModule, recipe: Recipe) -> dict[str, RoundedLayer]:
    """What GPTQ makes of each layer, where the recipe asks for it."""
    paths = gptq.candidates(module, recipe) if recipe.gptq else []
    if not paths:
        return {}
    solver = ptq.gptq_of(calibration, recipe.equalize, recipe.base)
    layers = solver.layers({path: [recipe.scheme] for path in paths})
    return {path: layer for (path, _), layer in layers.items()}


def _layer(path: str, score: Score, costs: Mapping[str, LayerCost], scheme: Scheme) -> LayerSensitivity:
    cost = costs[path]
    work = sum(each.multiply_adds for each in costs.values())
    return LayerSensitivity(
        path=path,
        sqnr_db=score.sqnr_db,
        agreement=score.agreement,
        bytes_saved=cost.values * (_FLOAT_BITS - scheme.weight_bits) // 8,
        multiply_adds=cost.multiply_adds,
        share_of_bytes=cost.values / sum(each.values for each in costs.values()),
        share_of_work=cost.multiply_adds / work if work else 0.0,
    )
