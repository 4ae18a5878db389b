"""The search for a format's recipe: candidates in order, until one meets the goal.

Every candidate is exported and evaluated in its own runtime. A simulation says which are worth exporting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack.compress import mixed_precision, ptq, sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import layer_costs
from edgepack.errors import ExportError
from edgepack.recipe import Recipe, Step
from edgepack.report import Artifact, Refusal, Tried
from edgepack.scheme import SCHEMES, Scheme, SchemeName

_SHARES = (0.05, 0.1, 0.2, 0.4)
"""Shares of the layers, most sensitive first, that mixed precision leaves in float."""
_GAIN_DB = 1.0
"""What more layers in float must gain in simulation to be worth an export."""
_WORTH_POINTS, _WORTH_DB = 0.5, 3.0
"""Where all candidates miss the goal, a larger file must be better by this to be preferred."""
_MOST_MIXED = 2
"""Mixed-precision recipes of one format that are exported at most."""
_GPTQ_BITS = 6
"""Palettes of at most so many bits are worth GPTQ."""
_NOISES = (0.25, 0.06)
"""Shares of the noise of 4-bit palettes that mixes with wider ones leave."""


@dataclass(frozen=True)
class Candidate:
    """One recipe exported in one format, with its measurements."""

    recipe: Recipe
    artifacts: tuple[Artifact, ...]
    models: tuple[Path, ...]
    """The exported files, one for each artifact."""
    companions: tuple[Path, ...]
    """Files that go with them into a bundle."""
    missed: str
    """What of the goal it misses, in words; empty where it meets it."""
    no_gain: str
    """Why it gains nothing over float; empty where it does."""
    is_pruned: bool = False

    def is_better_than(self, other: Candidate) -> bool:
        """Whether its outputs are so much closer to float's that it is worth its additional bytes."""
        if self._agreement is not None and other._agreement is not None:
            return self._agreement > other._agreement + _WORTH_POINTS
        return self._sqnr_db > other._sqnr_db + _WORTH_DB

    @property
    def _agreement(self) -> float | None:
        """That of its worst file."""
        known = [artifact.figures.agreement for artifact in self.artifacts]
        return min((value for value in known if value is not None), default=None)

    @property
    def _sqnr_db(self) -> float:
        known = [artifact.figures.sqnr_db for artifact in self.artifacts]
        return min((value for value in known if value is not None), default=0.0)


@dataclass
class Search:
    """The search for one format and one target."""

    steps: tuple[Step, ...]
    base: Candidate
    """The float model: what the others are compared with, and what ships if none of them does."""
    calibration: Calibration | None
    """None where there are no calibration samples."""
    attempt: Callable[[Recipe], Candidate]
    """Raises ExportError where a recipe cannot be written."""
    forced: bool
    """A scheme or recipe was given by hand: it ships, whatever it misses."""
    keep_best: bool
    """Where all miss, ship the best candidate instead of `base`."""
    deadline: float
    """`time.monotonic()` after which no further candidate is tried; infinite without --search-budget."""
    wider: Recipe | None = None
    """A more precise float recipe, tried where `base` itself misses the goal: 16-bit floats can overflow."""
    refusals: list[Refusal] = field(default_factory=list)
    """Candidates that could not be written."""
    _outcomes: list[tuple[Candidate, str]] = field(default_factory=list)
    _last_gained_nothing: bool = False

    def run(self) -> Candidate:
        """The candidate that ships; `tried` and `refusals` then list all others.

        Raises ExportError where a scheme or recipe given by hand cannot be written.
        """
        self._note(self.base, "float reference")
        best: Candidate | None = None
        spent = ""
        for recipe in self._recipes():
            candidate = self._attempted(recipe)
            if candidate is None:
                continue
            self._last_gained_nothing = bool(candidate.no_gain)
            problem = candidate.missed or ("" if self.forced else candidate.no_gain)
            if not problem:
                return self._shipped(candidate)
            self._note(candidate, problem)
            best = candidate if best is None or candidate.is_better_than(best) else best
            if time.monotonic() > self.deadline:
                spent = "; the search budget is spent: the search ends"
                break
        if best and (self.forced or self.keep_best):
            return self._shipped(best, spent)
        if self.forced and self.refusals:
            raise ExportError(self.refusals[0].why, hint=self.refusals[0].hint)
        return self._shipped_float(spent)

    def _attempted(self, recipe: Recipe) -> Candidate | None:
        """The candidate of a recipe; None, and a refusal, where it cannot be written."""
        try:
            return self.attempt(recipe)
        except ExportError as cause:
            self._refuse(recipe.scheme, cause)
            self._last_gained_nothing = True  # what is like it is not worth an attempt
            return None

    def _refuse(self, scheme: SchemeName, cause: ExportError) -> None:
        refusal = Refusal(self.base.artifacts[0].format, scheme, str(cause), cause.hint)
        if refusal not in self.refusals:
            self.refusals.append(refusal)

    def _shipped_float(self, spent: str) -> Candidate:
        """`base`, or a more precise float candidate where `base` misses the goal and that one does not."""
        if self.base.missed and self.wider and self.wider != self.base.recipe:
            self._note(self.base, self.base.missed)
            candidate = self._attempted(self.wider)
            if candidate and not candidate.missed:
                why = f"shipped, because {self.base.recipe.scheme} misses: {self.base.missed}"
                self._note(candidate, why + spent)
                return candidate
        return self._shipped(self.base, spent)

    @property
    def tried(self) -> tuple[Tried, ...]:
        """Every candidate with its outcome, in the order of evaluation."""
        return tuple(
            Tried(artifact, outcome)
            for candidate, outcome in self._outcomes
            for artifact in candidate.artifacts
        )

    def _shipped(self, candidate: Candidate, more: str = "") -> Candidate:
        problem = candidate.missed or candidate.no_gain
        how = "shipped, as asked for by hand" if self.forced else "shipped, the best there is"
        self._note(candidate, (f"{how}: {problem}" if problem else "shipped") + more)
        return candidate

    def _note(self, candidate: Candidate, outcome: str) -> None:
        """Record the outcome of a candidate, in the place of an earlier one of its own."""
        for n, (before, _) in enumerate(self._outcomes):
            if before is candidate:
                self._outcomes[n] = candidate, outcome
                return
        self._outcomes.append((candidate, outcome))

    def _recipes(self) -> Iterator[Recipe]:
        """Recipes in the order in which they are tried."""
        for step in self.steps:
            try:
                yield from self._recipes_of(step)
            except ExportError as cause:
                self._refuse(step.scheme, cause)

    def _recipes_of(self, step: Step) -> Iterator[Recipe]:
        """The recipes of one step."""
        scheme = SCHEMES[step.scheme]
        if step.recipe:
            yield step.recipe
        elif scheme.has_static_activations and self.calibration:
            yield from self._static(self.calibration, step.scheme)
        elif self.calibration and scheme.has_dynamic_activations and scheme.has_integer_channels:
            yield Recipe(step.scheme, equalize="exact", gptq=True)
        elif self.calibration and _gains_by_gptq(scheme):
            yield Recipe(step.scheme, gptq=True)
            if scheme.has_few_values and not self._last_gained_nothing:
                yield from _widened(self.calibration)
        else:
            yield Recipe(step.scheme)

    def _static(self, calibration: Calibration, scheme: SchemeName) -> Iterator[Recipe]:
        """The best recipe of a scheme, then those that leave sensitive layers in float."""
        base = self._base(calibration, scheme)
        yield base
        if base.layers and self._last_gained_nothing:  # a float layer may part what the runtime fuses
            yield replace(base, layers={})
        if not self._last_gained_nothing:
            yield from self._mixed(calibration, base)

    def _base(self, calibration: Calibration, scheme: SchemeName) -> Recipe:
        """The best recipe of a scheme, its float layers in the scheme of the format's float files."""
        found = ptq.choose_recipe(calibration, scheme)
        return replace(found, layers=dict.fromkeys(found.layers, self.base.recipe.scheme))

    def _mixed(self, calibration: Calibration, base: Recipe) -> Iterator[Recipe]:
        """Recipes that leave more and more sensitive layers in float, where simulation gains by it."""
        reached = ptq.score(calibration, base).ranking_db
        worst = [layer.path for layer in sensitivity.worst(calibration, base.scheme)]
        count, exported = len(layer_costs(calibration.source)), 0
        for share in _SHARES:
            kept = worst[: max(1, round(share * count))]
            recipe = replace(base, layers={**base.layers, **dict.fromkeys(kept, self.base.recipe.scheme)})
            score_db = ptq.score(calibration, recipe).ranking_db
            if score_db >= reached + _GAIN_DB and exported < _MOST_MIXED:
                reached, exported = score_db, exported + 1
                yield recipe


def _gains_by_gptq(scheme: Scheme) -> bool:
    """The palette is so narrow that GPTQ pays for its time, or weights are integers with one scale for each
    output."""
    is_narrow = scheme.is_palette and not scheme.sparse and scheme.weight_bits <= _GPTQ_BITS
    return is_narrow or (scheme.is_weight_only and scheme.has_integer_channels)


def _widened(calibration: Calibration) -> Iterator[Recipe]:
    """Mixes of 4-bit palettes with wider ones, each once."""
    before = Recipe("p4", gptq=True)
    for share in _NOISES:
        mix = mixed_precision.mix_palettes(calibration, share)
        if mix != before:
            yield mix
        before = mix
