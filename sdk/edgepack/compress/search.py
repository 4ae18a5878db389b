"""The search: down a format's ladder to the first artifact that stays within the goal.

Every candidate is written and judged in its own runtime. A simulation says which are worth writing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from edgepack.compress import mixed_precision, ptq, sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.formats import Exported
from edgepack.recipe import Recipe, Step
from edgepack.report import Artifact, Tried
from edgepack.scheme import SCHEMES, SchemeName

_SHARES = (0.05, 0.1, 0.2, 0.4)
"""Shares of the layers, worst first, that mixed precision leaves in float."""
_GAIN_DB = 1.0
"""What more layers in float must gain in simulation to be worth writing."""
_WORTH_POINTS, _WORTH_DB = 0.5, 3.0
"""Where all candidates miss, a larger file must answer better by this to be taken."""
_WRITTEN = 2
"""Mixed recipes of one format that are written at most."""
_FED_BACK: frozenset[SchemeName] = frozenset({"p6", "p4"})
"""Palettes so narrow that error feedback pays."""
_NOISES = (0.25, 0.06)
"""Shares of the noise of 4-bit palettes that mixes with wider ones leave."""


@dataclass(frozen=True)
class Trial:
    """A candidate as it came out."""

    recipe: Recipe
    exported: Exported
    artifacts: tuple[Artifact, ...]
    missed: str
    """What of the goal it misses, in words; empty where it meets it."""
    idle: str
    """Why quantization does not pay here (no smaller, or slower); empty where it does."""

    def beats(self, other: Trial) -> bool:
        """Whether it answers so much better than one that saves more, that it is worth its bytes."""
        if self._agreement is not None and other._agreement is not None:
            return self._agreement > other._agreement + _WORTH_POINTS
        return self._sqnr_db > other._sqnr_db + _WORTH_DB

    @property
    def _agreement(self) -> float | None:
        """Of its worst file."""
        told = [each.figures.agreement for each in self.artifacts]
        return min((each for each in told if each is not None), default=None)

    @property
    def _sqnr_db(self) -> float:
        told = [each.figures.sqnr_db for each in self.artifacts]
        return min((each for each in told if each is not None), default=0.0)


@dataclass
class Search:
    """One format's ladder for one target."""

    steps: tuple[Step, ...]
    base: Trial
    """The float model: what the others are held against, and what is shipped in the worst case."""
    calibration: Calibration | None
    """None where there are no calibration samples."""
    attempt: Callable[[Recipe], Trial]
    forced: bool
    """A scheme or recipe was given by hand: it is shipped, whatever it misses."""
    keep_best: bool
    """Where all miss, ship the best of those tried instead of `base`."""
    deadline: float
    """`time.monotonic()` after which nothing more is tried."""
    _outcomes: list[tuple[Trial, str]] = field(default_factory=list)
    _idle: bool = False
    """The last trial did not pay."""

    def run(self) -> Trial:
        """The trial that is shipped; `tried` then tells of all."""
        self._note(self.base, "what the others are held against")
        best: Trial | None = None
        spent = ""
        for recipe in self._recipes():
            trial = self.attempt(recipe)
            self._idle = bool(trial.idle)
            problem = trial.missed or ("" if self.forced else trial.idle)
            if not problem:
                return self._shipped(trial)
            self._note(trial, problem)
            best = trial if best is None or trial.beats(best) else best
            if time.monotonic() > self.deadline:
                spent = "; the search budget is spent: not looked further"
                break
        return self._shipped(best if best and (self.forced or self.keep_best) else self.base, spent)

    @property
    def tried(self) -> tuple[Tried, ...]:
        """Every candidate with its outcome, in the order in which they were judged."""
        return tuple(Tried(each, outcome) for trial, outcome in self._outcomes for each in trial.artifacts)

    def _shipped(self, trial: Trial, more: str = "") -> Trial:
        problem = trial.missed or trial.idle
        how = "shipped, as asked for by hand" if self.forced else "shipped, the best there is"
        self._note(trial, (f"{how}: {problem}" if problem else "shipped") + more)
        return trial

    def _note(self, trial: Trial, outcome: str) -> None:
        places = [n for n, (before, _) in enumerate(self._outcomes) if before is trial]
        if places:
            self._outcomes[places[0]] = trial, outcome
        else:
            self._outcomes.append((trial, outcome))

    def _recipes(self) -> Iterator[Recipe]:
        """Recipes in the order in which they are tried."""
        for step in self.steps:
            if step.recipe:
                yield step.recipe
            elif SCHEMES[step.scheme].has_static_activations and self.calibration:
                base = self._base(self.calibration)
                yield base
                if base.layers and self._idle:  # a float layer may part what the runtime fuses
                    yield replace(base, layers={})
                if not self._idle:
                    yield from self._mixed(self.calibration)
            elif step.scheme in _FED_BACK and self.calibration:
                yield Recipe(step.scheme, gptq=True)
                if step.scheme == "p4" and not self._idle:
                    yield from _widened(self.calibration)
            else:
                yield Recipe(step.scheme)

    def _base(self, calibration: Calibration) -> Recipe:
        """The int8 recipe, its layers in float as the format's float files have them."""
        found = ptq.choose_recipe(calibration)
        return replace(found, layers=dict.fromkeys(found.layers, self.base.recipe.scheme))

    def _mixed(self, calibration: Calibration) -> Iterator[Recipe]:
        """Recipes that leave ever more of the worst layers in float, where simulation gains by it."""
        base = self._base(calibration)
        reached = ptq.score(calibration, base).ranking_db
        worst = [layer.path for layer in sensitivity.analyze(calibration)]
        written = 0
        for share in _SHARES:
            kept = worst[: max(1, round(share * len(worst)))]
            recipe = replace(base, layers={**base.layers, **dict.fromkeys(kept, self.base.recipe.scheme)})
            found = ptq.score(calibration, recipe).ranking_db
            if found >= reached + _GAIN_DB and written < _WRITTEN:
                reached, written = found, written + 1
                yield recipe


def _widened(calibration: Calibration) -> Iterator[Recipe]:
    """Mixes of 4-bit palettes with wider ones, each once."""
    before = Recipe("p4", gptq=True)
    for share in _NOISES:
        mix = mixed_precision.mix_palettes(calibration, share)
        if mix != before:
            yield mix
        before = mix
