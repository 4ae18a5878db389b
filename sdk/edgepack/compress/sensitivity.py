"""Sensitivity analysis: what quantizing one layer alone costs at the output, and what it saves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch.fx import GraphModule

from edgepack.compress import gptq, ptq, scoring
from edgepack.compress.calibration import Calibration, noise_of, observe
from edgepack.compress.counts import LayerCost, layer_costs
from edgepack.compress.gptq import RoundedLayer
from edgepack.compress.scoring import Score
from edgepack.graph import layers as graphs
from edgepack.graph.quantization_grid import greatest_code, greatest_weight_code
from edgepack.recipe import Recipe
from edgepack.scheme import INT8, SCHEMES, Scheme, SchemeName
from edgepack.silence import quiet

SAMPLES = 8
"""Samples, of those that recipes are scored on, that single layers are scored on."""
_FLOAT_BITS = 32
_ALONE = 64
"""Layers that a search scores alone, so that its time grows with the layers and not with their square."""


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
    return calibration.once(("sensitivity", scheme), lambda: _analyze(calibration, scheme, None))


def worst(calibration: Calibration, scheme: SchemeName = INT8.name) -> tuple[LayerSensitivity, ...]:
    """The same for the layers that lose most by their predicted noise, a fixed number at most.

    A second-order estimate from one backward pass for each sample predicts it (see `noise_sensitivity.py`).
    """
    if len(layer_costs(calibration.source)) <= _ALONE:
        return analyze(calibration, scheme)
    return calibration.once(("worst layers", scheme), lambda: _analyze(calibration, scheme, _ALONE))


def _analyze(calibration: Calibration, scheme: SchemeName, most: int | None) -> tuple[LayerSensitivity, ...]:
    """The sensitivity of all layers, or of the `most` layers with the greatest predicted noise."""
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
        for path in list(costs) if most is None else _predicted_worst(calibration, recipe.base)[:most]:
            alone = Recipe("fp32", {path: scheme})
            exact = gptq.current(module, nodes[path])
            if path in rounded:
                gptq.place(module, nodes[path], rounded[path])
            score = scoring.score_recipe(calibration, module, alone, limits, SAMPLES)
            gptq.place(module, nodes[path], exact)
            layers.append(_layer(path, score, costs, SCHEMES[scheme]))
    return tuple(sorted(layers, key=lambda layer: layer.sqnr_db))


def _predicted_worst(calibration: Calibration, scheme: Scheme) -> list[str]:
    """Layers by the noise at the outputs that rounding what they read and their weights predicts, greatest
    first."""
    observed = observe(calibration, "none")
    found = noise_of(calibration, observed.graph)
    noises = {}
    for path, layer in graphs.layers(observed.graph).items():
        read = graphs.value_source(layer.all_input_nodes[0]).name
        noise = 0.0
        if read in observed.histograms and read in found.tensors:
            seen = observed.histograms[read]
            step = (seen.high - seen.low) / greatest_code(scheme.activation_bits)
            noise += step**2 * float(found.tensors[read].sum())
        if layer.name in found.weights:
            weight = graphs.constant(observed.graph, graphs.weight_of(layer)).detach().abs()
            steps = weight.flatten(1).amax(1) / greatest_weight_code(scheme.weight_bits)
            energies = found.weights[layer.name].sum(1)
            noise += float((steps**2 * energies).sum())
        noises[path] = noise
    return sorted(noises, key=lambda path: -noises[path])


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
