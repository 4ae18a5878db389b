"""Post-training quantization: prepare a source for a recipe, and choose the recipe's ranges and corrections.

Everything is decided by simulation on calibration samples, once for all formats and targets of a build.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from torch.fx import GraphModule

from edgepack.compress import bias_correction, cross_layer_equalization, scoring, simulation, smoothquant
from edgepack.compress.calibration import (
    Calibration,
    Observed,
    equalization_key,
    float_graph,
    observe,
)
from edgepack.compress.counts import layer_costs
from edgepack.compress.gptq import GPTQ
from edgepack.compress.scoring import Score
from edgepack.graph import layers as graphs
from edgepack.graph.ranges import Range
from edgepack.model.source import Source, regraphed, reweighted
from edgepack.recipe import RANGE_RULES, Equalization, Recipe
from edgepack.scheme import INT8, Scheme, SchemeName
from edgepack.silence import quiet

_GAIN_DB = 0.1
"""A correction is kept if it gains at least this much at the output."""
_FLOAT_GAIN_DB, _GAIN_DB_FOR_WORK = 0.5, 8.0
"""First layers stay in float if that gains the first; and the second times their share of multiply-adds."""
_CHEAP_BYTES, _CHEAP_WORK = 0.015, 0.15
"""Shares of the weights' bytes and of the multiply-adds that first layers in float may cost."""


def prepare(calibration: Calibration, recipe: Recipe, *, rows: bool = False) -> Source:
    """The source with the corrections of `recipe` applied and its ranges set.

    It is the calibration's own source where no layer of the recipe needs ranges, GPTQ or SmoothQuant. `rows`:
    the format quantizes activations at run time by a scale for each row, not one for a tensor.
    """
    smoothed = _is_smoothed(calibration, recipe)
    if static_scheme(recipe) is None and not recipe.gptq and not smoothed:
        return calibration.source

    def compute() -> Source:
        with calibration.timed("repairs"):
            return _prepare(calibration, recipe, rows=rows)

    return calibration.once(("prepared", repr(recipe), rows and smoothed), compute)


def static_scheme(recipe: Recipe) -> Scheme | None:
    """The first scheme of a recipe that has static activations, the base before those of layers."""
    return next((scheme for scheme in recipe.schemes if scheme.has_static_activations), None)


def _is_smoothed(calibration: Calibration, recipe: Recipe) -> bool:
    """Whether SmoothQuant applies: to dynamic activations without static ones, in fixed dimensions."""
    dynamic = any(scheme.has_dynamic_activations for scheme in recipe.schemes)
    is_dynamic = dynamic and static_scheme(recipe) is None
    return is_dynamic and recipe.equalize != "none" and not calibration.source.contract.free_dims


def _smoothed(calibration: Calibration, recipe: Recipe, *, rows: bool) -> tuple[GraphModule, bool]:
    """The float graph after SmoothQuant, and whether it changed."""
    calibration.say(f"SmoothQuant, {recipe.scheme}")
    module = float_graph(calibration.source)
    schemes = {path: recipe.at(path) for path in graphs.layers(module)}
    with quiet():
        count = smoothquant.smooth(
            module, calibration.samples, schemes, rows=rows, inside=calibration.source.inside
        )
    return module, count > 0


def _prepare(calibration: Calibration, recipe: Recipe, *, rows: bool) -> Source:
    source = calibration.source
    if static_scheme(recipe) is None:
        module, changed = float_graph(source), False
        if _is_smoothed(calibration, recipe):
            module, changed = _smoothed(calibration, recipe, rows=rows)
        if recipe.gptq:
            calibration.say(f"GPTQ, {recipe.scheme}")
            solver = GPTQ(module, calibration.samples) if changed else gptq_of(calibration, "none")
            solver.apply(recipe, module)
        return regraphed(source, module) if changed else reweighted(source, module)
    module, limits = quantize(calibration, recipe)
    if recipe.equalize == "none" and not recipe.gptq and not recipe.correct_bias:
        return replace(source, ranges=limits)
    return replace(reweighted(source, module), ranges=limits)


def gptq_of(calibration: Calibration, equalize: Equalization, scheme: Scheme = INT8) -> GPTQ:
    """GPTQ of the float graph after an equalization for a scheme."""

    def compute() -> GPTQ:
        if equalize == "none":
            return GPTQ(float_graph(calibration.source), calibration.samples)
        return GPTQ(observe(calibration, equalize, scheme).graph, calibration.samples)

    return calibration.once(("gptq", *equalization_key(equalize, scheme)), compute)


def quantize(calibration: Calibration, recipe: Recipe) -> tuple[GraphModule, dict[str, Range]]:
    """The float graph with the corrections of `recipe`, and the ranges of its activations by node name.

    The graph is shared where the recipe changes no weight: copy it before a change.
    """
    scheme = static_scheme(recipe) or INT8
    observed = observe(calibration, recipe.equalize, scheme)
    limits = _ranges(observed, recipe, scheme)
    if not recipe.gptq and not recipe.correct_bias:
        return observed.graph, limits
    with quiet():
        module = copy.deepcopy(observed.graph)
    if recipe.gptq:
        gptq_of(calibration, recipe.equalize, scheme).apply(recipe, module)
    if recipe.correct_bias:
        bias_correction.correct(module, recipe, limits, calibration.samples, observed.graph)
    return module, limits


def _ranges(observed: Observed, recipe: Recipe, scheme: Scheme) -> dict[str, Range]:
    """Ranges by the recipe's rule. Tensors that the recipe leaves in float have one for `scheme`, too."""
    last = simulation.last(observed.graph)
    bits = simulation.activation_bits(observed.graph, recipe)
    return {
        name: observed.limits(
            name, "min-max" if name in last else recipe.ranges, bits.get(name, scheme.activation_bits)
        )
        for name in observed.histograms
    }


def score(calibration: Calibration, recipe: Recipe) -> Score:
    """What `recipe` does to the outputs, by simulation on calibration samples."""
    module, limits = quantize(calibration, recipe)
    return scoring.score_recipe(calibration, module, recipe, limits)


def choose_recipe(calibration: Calibration, scheme: SchemeName = INT8.name) -> Recipe:
    """The best recipe by simulation for a scheme with static activations.

    It leaves no layer in float, except cheap first ones.
    """

    def compute() -> Recipe:
        calibration.say("choose activation ranges and corrections by simulation")
        with calibration.timed("repairs"):
            return _with_cheap_floats(calibration, _choose_corrections(calibration, scheme))

    return calibration.once(("recipe", scheme), compute)


def _choose_corrections(calibration: Calibration, scheme: SchemeName) -> Recipe:
    """Cross-layer equalization, GPTQ, ranges and bias correction, each kept if it measurably helps.

    GPTQ corrects biases for the errors of weights. Bias correction could then only add the mean of a few
    samples' values beyond their ranges, which is different on other samples.
    """
    first = Recipe(scheme, ranges="least-error")
    with_gptq = replace(first, gptq=True)
    has_clamps = cross_layer_equalization.has_clamps(float_graph(calibration.source))
    ways: list[Equalization] = ["exact", "clamped"] if has_clamps else ["exact"]
    best = _best(calibration, first, [with_gptq, *(replace(with_gptq, equalize=way) for way in ways)])
    best = choose_ranges(calibration, replace(best, ranges="min-max"))
    best = _best(calibration, best, [Recipe(scheme, ranges=rule) for rule in RANGE_RULES])
    return best if best.gptq else _best(calibration, best, [replace(best, correct_bias=True)])


def choose_ranges(calibration: Calibration, unclipped: Recipe) -> Recipe:
    """`unclipped`, or the same recipe with a rule that clips ranges, where that certainly gains.

    The scored samples also set the ranges. Clipping therefore cuts less from them than from new samples,
    and a small gain proves nothing.
    """
    reached = score(calibration, unclipped)
    clipped = [replace(unclipped, ranges=rule) for rule in RANGE_RULES[1:]]
    certain = [recipe for recipe in clipped if score(calibration, recipe).is_certainly_above(reached)]
    return _best(calibration, unclipped, certain)


def _best(calibration: Calibration, first: Recipe, others: list[Recipe]) -> Recipe:
    """The first recipe, or the last of the others that gains on the best one before it."""
    best, reached = first, score(calibration, first).ranking_db
    for recipe in others:
        decibels = score(calibration, recipe).ranking_db
        if decibels >= reached + _GAIN_DB:
            best, reached = recipe, decibels
    return best


def _with_cheap_floats(calibration: Calibration, recipe: Recipe) -> Recipe:
    """`recipe` with its first layers in float, if that is cheap and gains more than the work is worth."""
    costs = layer_costs(calibration.source)
    values = sum(cost.values for cost in costs.values())
    work = sum(cost.multiply_adds for cost in costs.values())
    before = score(calibration, recipe).ranking_db
    best, most = recipe, 0.0
    first: list[str] = []
    for path in costs:
        first.append(path)
        share = sum(costs[each].multiply_adds for each in first) / work
        if sum(costs[each].values for each in first) > _CHEAP_BYTES * values or share > _CHEAP_WORK:
            break
        candidate = replace(recipe, layers=dict.fromkeys(first, "fp32"))
        gain = score(calibration, candidate).ranking_db - before
        if gain >= _FLOAT_GAIN_DB and gain - share * _GAIN_DB_FOR_WORK > most:
            best, most = candidate, gain - share * _GAIN_DB_FOR_WORK
    return best
