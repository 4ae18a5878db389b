"""The workbench: what is found out of one source, each piece once, and free of formats.

For int8 one calibration, the repairs that help, the sensitivity of each layer; for palettes error
feedback and the mix of their widths.

All of it is measured on calibration samples by simulation, once for all formats and targets of a
build; what a format writes of it is judged on other samples.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.fx import GraphModule, Node

from edgepack.arrays import Array, Sample
from edgepack.compress import bias_correction, cross_layer_equalization, gptq, noise_sensitivity, simulation
from edgepack.compress.gptq import Feedback, Snapped
from edgepack.compress.noise_sensitivity import Influence
from edgepack.compress.sensitivity import Cost, Damage
from edgepack.contract.samples import Samples
from edgepack.graph import layers as graph
from edgepack.graph import ranges
from edgepack.graph.ranges import Range, Seen
from edgepack.model.source import Source, reweighted, tensors
from edgepack.recipe import RANGE_RULES, Equalization, RangeRule, Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 512
"""Calibration samples that are used at most."""
_JUDGED = 32
"""Calibration samples, the last ones, on which the simulation compares recipes; what is corrected, is so
by the first."""
_SENSED = 8
"""Of these, samples on which single layers are judged."""
_FLOAT_BYTES = 4
_GAIN_DB = 0.1
"""A repair is kept where it gains at least this much at the output."""
_SURE = 2.0
"""Standard errors of its mean over samples, by which a gain that may be chance must be above zero."""
_MOST_DB = 200.0
"""Of a sample, where there is no noise at all, or nothing else."""
_FLOAT_GAIN_DB, _GAIN_DB_FOR_WORK = 0.5, 8.0
"""What first layers left in float must gain: at least, and by their share of the multiply-adds."""
_CHEAP_BYTES, _CHEAP_WORK = 0.015, 0.15
"""Shares of the weights' bytes and of the multiply-adds that first layers in float may cost."""
_WIDTHS: tuple[SchemeName, ...] = ("p4", "p6", "p8")
"""Palettes of a mix, the narrowest first."""
_FIRST_CLASSES = 5
_LEAST_CHANCE = 1e-12
"""Of a probability, so that its logarithm is finite."""


@dataclass(frozen=True)
class Score:
    """Simulated outputs against the float model's."""

    sqnr_db: float
    """Of all outputs."""
    order_db: float
    """Of the differences between the five greatest scores of each sample, which decide the answer;
    that of all outputs where the model has no classes."""
    agreement: float
    """Percent of samples with the same top answer; 0 where the model has no classes."""
    samples_db: tuple[float, ...]
    """Of each sample what `order_db` is of all; within 200 dB of none."""


@dataclass
class Workbench:
    """What is found out of one source, each piece once."""

    source: Source
    say: Callable[[str], None] = lambda _: None
    """Told what begins."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What took how long: calibration, repairs, sensitivity."""
    _seen: dict[Equalization, tuple[GraphModule, dict[str, Seen]]] = field(default_factory=dict)
    _ready: dict[str, Source] = field(default_factory=dict)
    _best: Recipe | None = None
    _damages: tuple[Damage, ...] = ()
    _reference: tuple[Sample, ...] = ()
    _influence: Influence | None = None
    _feedbacks: dict[Equalization, Feedback] = field(default_factory=dict)
    _noises: dict[str, dict[SchemeName, float]] = field(default_factory=dict)

    @property
    def calib(self) -> Samples:
        """The calibration samples that are used."""
        given = self.source.calib
        assert given is not None
        return given if len(given) <= MOST else given.take(range(MOST), given.origin)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the time within to `seconds`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - begun

    def ready(self, recipe: Recipe) -> Source:
        """The source with the repairs of `recipe` done and its ranges set; itself where it asks for none."""
        if recipe.scheme != "w8a8" and not recipe.gptq:
            return self.source
        key = repr(recipe)
        if key not in self._ready:
            with self.timed("repairs"):
                self._ready[key] = self._prepared(recipe)
        return self._ready[key]

    def _prepared(self, recipe: Recipe) -> Source:
        if recipe.scheme != "w8a8":
            self.say(f"feed errors of palettes back, {recipe.scheme}")
            module = self._copied()
            self._fed_back("none").put(recipe, module)
            return reweighted(self.source, module)
        module, found = self.simulated(recipe)
        if recipe.equalize == "none" and not recipe.gptq and not recipe.correct_bias:
            return replace(self.source, ranges=found)
        return replace(reweighted(self.source, module), ranges=found)

    def _fed_back(self, equalize: Equalization) -> Feedback:
        if equalize not in self._feedbacks:
            module = self._calibrated(equalize)[0] if equalize != "none" else self._copied()
            self._feedbacks[equalize] = Feedback(module, self.calib)
        return self._feedbacks[equalize]

    def _copied(self) -> GraphModule:
        """The float graph, whose constants may be replaced."""
        with quiet():
            module = self.source.exported.module()
        assert isinstance(module, GraphModule)
        return module

    def simulated(self, recipe: Recipe) -> tuple[GraphModule, dict[str, Range]]:
        """The float graph as `recipe` repairs it, and the activations' ranges."""
        exact, seen = self._calibrated(recipe.equalize)
        last = simulation.last(exact)
        found = {
            name: within(each, "min-max" if name in last else recipe.ranges) for name, each in seen.items()
        }
        if not recipe.gptq and not recipe.correct_bias:
            return exact, found
        with quiet():
            module = copy.deepcopy(exact)
        if recipe.gptq:
            self._fed_back(recipe.equalize).put(recipe, module)
        if recipe.correct_bias:
            bias_correction.correct(module, recipe, found, self.calib, exact)
        return module, found

    def _calibrated(self, equalization: Equalization) -> tuple[GraphModule, dict[str, Seen]]:
        if equalization not in self._seen:
            how = "" if equalization == "none" else f", channels equalized ({equalization})"
            self.say(f"calibrate{how}")
            with self.timed("calibration"), torch.no_grad(), quiet():
                module = self._copied()
                if equalization != "none":
                    if self._influence is None:
                        self._influence = noise_sensitivity.measure(module, self.calib, self.source.inside)
                    cross_layer_equalization.equalize(
                        module, self._influence, clamped=equalization == "clamped"
                    )
                seen = ranges.observe(module, self.calib, simulation.may_be_quantized)
                self._seen[equalization] = module, simulation.shared(module, seen)
        return self._seen[equalization]

    def score(self, recipe: Recipe) -> Score:
        """What `recipe` does to the outputs, in simulation, on calibration samples."""
        module, found = self.simulated(recipe)
        return self.scored(module, recipe, found)

    def scored(
        self, module: GraphModule, recipe: Recipe, found: Mapping[str, Range], most: int = _JUDGED
    ) -> Score:
        """The same for a graph that is repaired already, on `most` samples."""
        return self._judged(simulation.Simulation(module, recipe, found).run, most)

    @property
    def _held(self) -> tuple[Sample, ...]:
        """The samples on which recipes are compared."""
        return self.calib.inputs[-_JUDGED:]

    def _judged(self, model: Callable[..., object], most: int) -> Score:
        inside = self.source.inside
        if not self._reference:
            exact = self.source.exported.module()
            with torch.no_grad():
                self._reference = tuple(_answered(exact, row, inside) for row in self._held)
        with torch.no_grad():
            given = tuple(_answered(model, row, inside) for row in self._held[:most])
        return _compared(given, self._reference[:most], self.source.contract.classes is not None)

    def recipe(self) -> Recipe:
        """The best `w8a8` recipe that leaves no layer in float but, maybe, cheap first ones."""
        if self._best is None:
            self.say("choose ranges and repairs by simulation")
            with self.timed("repairs"):
                self._best = self._with_cheap_floats(self._repaired())
        return self._best

    def _repaired(self) -> Recipe:
        """Equalization, feedback, ranges and bias correction, each taken where it measurably helps.

        Feedback corrects biases itself, by what errors of weights do. What is left then are a few samples'
        values beyond their ranges: a mean that says nothing of other samples.
        """
        first = Recipe("w8a8", ranges="least-error")
        fed = replace(first, gptq=True)
        ways: list[Equalization] = (
            ["exact", "clamped"] if cross_layer_equalization.has_clamps(self._copied()) else ["exact"]
        )
        best = self._better(first, [fed, *(replace(fed, equalize=each) for each in ways)])
        best = self._clipped(replace(best, ranges="min-max"))
        best = self._better(best, [Recipe("w8a8", ranges=rule) for rule in RANGE_RULES])
        return best if best.gptq else self._better(best, [replace(best, correct_bias=True)])

    def _clipped(self, whole: Recipe) -> Recipe:
        """`whole`, or what clips ranges, where that gains for certain.

        These samples set the ranges, so that none of them is cut as deep as a new one can be.
        """
        exact = self.score(whole)
        sure = [
            tried
            for tried in (replace(whole, ranges=rule) for rule in RANGE_RULES[1:])
            if _gains_surely(self.score(tried), exact)
        ]
        return self._better(whole, sure)

    def _better(self, first: Recipe, others: list[Recipe]) -> Recipe:
        best, reached = first, self.score(first).order_db
        for each in others:
            found = self.score(each).order_db
            if found >= reached + _GAIN_DB:
                best, reached = each, found
        return best

    def _with_cheap_floats(self, recipe: Recipe) -> Recipe:
        """The first layers in float, as a run, where that is cheap and gains more than its work is worth."""
        known = costs(self.source)
        values = sum(each.values for each in known.values())
        work = sum(each.multiply_adds for each in known.values())
        before = self.score(recipe).order_db
        best, most = recipe, 0.0
        run: list[str] = []
        for path in known:
            run.append(path)
            share = sum(known[each].multiply_adds for each in run) / work
            if sum(known[each].values for each in run) > _CHEAP_BYTES * values or share > _CHEAP_WORK:
                break
            tried = replace(recipe, layers=dict.fromkeys(run, "fp32"))
            gain = self.score(tried).order_db - before
            if gain >= _FLOAT_GAIN_DB and gain - share * _GAIN_DB_FOR_WORK > most:
                best, most = tried, gain - share * _GAIN_DB_FOR_WORK
        return best

    def sensitivity(self) -> tuple[Damage, ...]:
        """What each layer alone does to the outputs in int8, worst first."""
        if not self._damages:
            recipe = replace(self.recipe(), layers={})
            plain = replace(recipe, correct_bias=False, gptq=False)
            self.say("sensitivity, layer by layer")
            with self.timed("sensitivity"):
                exact, found = self.simulated(plain)
                with quiet():
                    module = copy.deepcopy(exact)
                known = costs(self.source)
                fed = gptq.candidates(module, recipe) if recipe.gptq else []
                snapped = self._fed_back(recipe.equalize).of({path: ["w8a8"] for path in fed}) if fed else {}
                layers = graph.layers(module)
                told = [
                    self._damage(path, known, module, found, layers[path], snapped.get((path, "w8a8")))
                    for path in known
                ]
            self._damages = tuple(sorted(told, key=lambda each: each.sqnr_db))
        return self._damages

    def _damage(
        self,
        path: str,
        known: Mapping[str, Cost],
        module: GraphModule,
        found: Mapping[str, Range],
        layer: Node,
        snapped: Snapped | None,
    ) -> Damage:
        exact = gptq.taken(module, layer)
        if snapped:
            gptq.place(module, layer, snapped)
        score = self.scored(module, Recipe("fp32", {path: "w8a8"}), found, _SENSED)
        gptq.place(module, layer, exact)
        cost = known[path]
        work = sum(each.multiply_adds for each in known.values())
        return Damage(
            path=path,
            sqnr_db=score.sqnr_db,
            agreement=score.agreement,
            bytes_saved=cost.values * (_FLOAT_BYTES - 1),
            multiply_adds=cost.multiply_adds,
            share_of_bytes=cost.values / sum(each.values for each in known.values()),
            share_of_work=cost.multiply_adds / work if work else 0.0,
        )

    def mix(self, share: float) -> Recipe:
        """Palettes of 4 bits, layers raised to 6 and 8 until `share` of the noise of 4 bits is left.

        The layer whose next width takes most noise away for its bytes comes first. Noise is that in
        what decides the answer, of each layer alone, and is taken to add up.
        """
        noises, known = self._palette_noises(), costs(self.source)
        widths = dict.fromkeys(noises, 0)

        def gain(path: str) -> float:
            now, then = (noises[path][_WIDTHS[widths[path] + n]] for n in (0, 1))
            return (now - then) / known[path].values

        most = share * sum(each["p4"] for each in noises.values())
        while sum(noises[path][_WIDTHS[width]] for path, width in widths.items()) > most:
            able = [path for path, width in widths.items() if width + 1 < len(_WIDTHS)]
            if not able:
                break
            widths[max(able, key=gain)] += 1
        raised = {path: _WIDTHS[width] for path, width in widths.items() if width}
        return Recipe("p4", raised, gptq=True)

    def _palette_noises(self) -> dict[str, dict[SchemeName, float]]:
        """Noise over signal of what decides the answer (`Score.order_db`), of each layer alone in each width.

        Measured in 4 bits; in the others, in proportion to the noise at the layer's own outputs.
        """
        if self._noises:
            return self._noises
        self.say("feed errors of palettes back, layer by layer")
        with self.timed("repairs"):
            module = self._copied()
            paths = gptq.candidates(module, Recipe("p4"))
            found = self._fed_back("none").of(dict.fromkeys(paths, _WIDTHS))
        self.say("sensitivity to palettes, layer by layer")
        with self.timed("sensitivity"):
            for path, layer in graph.layers(module).items():
                if (path, "p4") in found:
                    widths = [found[path, each] for each in _WIDTHS]
                    self._noises[path] = self._noise(module, layer, widths)
        return self._noises

    def _noise(self, module: GraphModule, layer: Node, widths: list[Snapped]) -> dict[SchemeName, float]:
        exact = gptq.taken(module, layer)
        gptq.place(module, layer, widths[0])
        noise = 10 ** (-self._judged(module, _SENSED).order_db / 10)
        gptq.place(module, layer, exact)
        least = max(widths[0].noise, 1e-30)
        return {scheme: noise * each.noise / least for scheme, each in zip(_WIDTHS, widths)}


def within(seen: Seen, rule: RangeRule) -> Range:
    """A range by a rule."""
    if rule == "least-error":
        return ranges.least_error(seen)
    return ranges.percentile(seen, 99.999) if rule == "percentile" else ranges.min_max(seen)


def costs(source: Source) -> dict[str, Cost]:
    """What each layer costs, by module path, in the order in which they run."""
    module = source.exported.module()
    assert isinstance(module, GraphModule)
    found = {}
    for path, node in graph.layers(module).items():
        weight = graph.constant(module, graph.weight_of(node))
        found[path] = Cost(weight.numel(), weight.numel() * _positions(node, weight))
    return found


def _positions(layer: Node, weight: torch.Tensor) -> int:
    """How often a layer uses each weight of its for one sample."""
    transposed = layer.target in graph.TRANSPOSED
    value = layer.all_input_nodes[0].meta["val"] if transposed else layer.meta["val"]
    return int(value.numel() // value.shape[0] // weight.shape[0])


def _answered(model: Callable[..., object], row: Sample, inside: str) -> Sample:
    """The outputs for a sample, before the activation that is inside the graph.

    Probabilities hide what moves the scores: near 0 and 1 they hardly change.
    """
    outputs = model(*tensors(row))
    assert isinstance(outputs, (tuple, list))
    first, *others = (each.numpy() for each in outputs)
    return (_before(first, inside), *others)


def _before(values: Array, activation: str) -> Array:
    """What the activation was applied to; of softmax, less a constant."""
    if activation == "none":
        return values
    chances = np.clip(values.astype(np.float64), _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    logarithm: Array = np.log(chances)
    return logarithm if activation == "softmax" else logarithm - np.log1p(-chances)


def _compared(given: tuple[Sample, ...], exact: tuple[Sample, ...], classes: bool) -> Score:
    outputs = [list(zip(ours, theirs)) for ours, theirs in zip(given, exact)]
    decisive = [[_differences(*each[0])] for each in outputs] if classes else outputs
    same = sum(bool(classes) and int(np.argmax(a) == np.argmax(b)) for (a, b), *_ in outputs)
    return Score(
        sqnr_db=_decibels([pair for each in outputs for pair in each]),
        order_db=_decibels([pair for each in decisive for pair in each]),
        agreement=100 * same / len(exact),
        samples_db=tuple(float(np.clip(_decibels(each), -_MOST_DB, _MOST_DB)) for each in decisive),
    )


def _gains_surely(score: Score, other: Score) -> bool:
    """Whether one is better than the other on the samples in the mean, by more than chance."""
    gains = np.subtract(score.samples_db, other.samples_db)
    return bool(gains.mean() > _SURE * gains.std() / math.sqrt(len(gains)))


def _differences(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """The scores of the classes that the float model puts first, less their mean."""
    first = np.argsort(theirs[0])[-_FIRST_CLASSES:]
    a, b = ours[0][first], theirs[0][first]
    return a - a.mean(), b - b.mean()


def _decibels(pairs: Sequence[tuple[Array, Array]]) -> float:
    """Energy of the second ones over that of the differences, in dB."""
    noise = sum(float(np.sum((a.astype(np.float64) - b.astype(np.float64)) ** 2)) for a, b in pairs)
    signal = sum(float(np.sum(b.astype(np.float64) ** 2)) for _, b in pairs)
    if not math.isfinite(noise) or signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf
