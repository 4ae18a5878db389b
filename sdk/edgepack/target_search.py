"""The searches of one target: for each of its formats, the schemes in the order that fits the model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgepack import candidates, formats, scheme_order
from edgepack.candidates import BuildState, Candidates
from edgepack.compress.pruning_search import PrunedSource
from edgepack.compress.search import Candidate, Search
from edgepack.errors import ExportError
from edgepack.evaluate.evaluation import Evaluator
from edgepack.model.source import Source
from edgepack.plan import Plan, TargetPlan
from edgepack.recipe import Recipe, Step
from edgepack.report import Omission, Refusal, Tried


@dataclass
class TargetSearch:
    """Searches all formats of a target. What they gave is empty before `run`."""

    plan: Plan
    wanted: TargetPlan
    state: BuildState
    chosen: list[Candidate] = field(default_factory=list)
    """What ships, one for each format that was written."""
    tried: list[Tried] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    omitted: list[Omission] = field(default_factory=list)
    """Schemes that are not worth a trial."""
    pruned_source: PrunedSource | None = None
    """What the pruned files among `chosen` were made of."""

    def run(self) -> None:
        """Search each format; one that cannot carry the model becomes a refusal.

        Raises ExportError where that format was asked for by name.
        """
        evaluator = candidates.evaluator(self.state, self.wanted)
        for name in dict.fromkeys(step.format for step in self.wanted.steps):
            try:
                self._run(name, evaluator)
            except ExportError as cause:
                self._refuse(name, cause)

    def _refuse(self, name: str, cause: ExportError) -> None:
        if name in self.plan.formats:
            hint = candidates.other_formats(name, self.wanted, self.state)
            raise ExportError(str(cause), hint=hint) from cause
        refusal = Refusal(name, candidates.float_scheme(name, self.wanted), str(cause), cause.hint)
        if all(each.why != refusal.why for each in self.refusals):
            self.refusals.append(refusal)

    def _run(self, name: str, evaluator: Evaluator) -> None:
        """Search one format. Raises ExportError where it cannot carry the model."""
        pruned = self._pruned(name)
        search = self._search(name, evaluator, pruned)
        self.omitted += _left_out(name, self.plan, self.wanted, self.state.source)
        try:
            self.chosen.append(search.run())
        finally:
            self.tried += search.tried
            self.refusals += search.refusals
        if self.chosen[-1].is_pruned:
            self.pruned_source = pruned

    def _search(self, name: str, evaluator: Evaluator, pruned: PrunedSource | None) -> Search:
        """The search for one format's recipe."""
        state, wanted = self.state, self.wanted
        smaller = pruned.source if pruned else state.source
        budget = candidates.training_budget(self.plan, wanted)
        whole = Candidates(name, wanted, state, state.source, budget, evaluator)
        wide = candidates.wide_recipe(name, wanted)
        base, refusals = self._base(name, whole, wide)
        minutes = wanted.goal.search_budget
        return Search(
            steps=steps(name, self.plan, wanted, state.source),
            base=base,
            calibration=state.calibration(smaller),
            attempt=Candidates(name, wanted, state, smaller, budget, evaluator, base),
            forced=_is_forced(self.plan, wanted),
            keep_best=pruned is not None and pruned.by_hand,
            deadline=state.begun + 60 * minutes if minutes else math.inf,
            wider=wide,
            refusals=refusals,
        )

    def _base(self, name: str, whole: Candidates, wide: Recipe | None) -> tuple[Candidate, list[Refusal]]:
        """The float candidate: in the target's float scheme or, where that cannot be written, as `wide`."""
        own = Recipe(candidates.float_scheme(name, self.wanted))
        try:
            return whole(own), []
        except ExportError as cause:
            if wide is None:
                raise
            refusal = Refusal(name, own.scheme, str(cause), cause.hint)
            try:
                return whole(wide), [refusal]
            except ExportError:
                raise cause from None

    def _pruned(self, name: str) -> PrunedSource | None:
        """The pruned source for a format; None where nothing is pruned, or the format gains nothing."""
        pruning = self.plan.pruning(self.wanted)
        if pruning is None or formats.load(name).no_gain(pruning.kind, self.wanted.target):
            return None
        budget = candidates.training_budget(self.plan, self.wanted)
        return self.state.pruned(pruning, self.wanted, budget)


def steps(name: str, plan: Plan, wanted: TargetPlan, source: Source) -> tuple[Step, ...]:
    """The steps of one format that are tried, in the order that fits the model."""
    planned = _planned(name, wanted)
    if _is_forced(plan, wanted):
        return planned
    table = formats.load(name).capabilities(wanted.target)
    return scheme_order.ordered(planned, table, scheme_order.work_by_kind(source))


def _left_out(name: str, plan: Plan, wanted: TargetPlan, source: Source) -> tuple[Omission, ...]:
    """The schemes of one format that the search leaves out, with the reason."""
    if _is_forced(plan, wanted):
        return ()
    table = formats.load(name).capabilities(wanted.target)
    return scheme_order.left_out(_planned(name, wanted), table, scheme_order.work_by_kind(source))


def _planned(name: str, wanted: TargetPlan) -> tuple[Step, ...]:
    """The steps of one format, in the target's order."""
    return tuple(step for step in wanted.steps if step.format == name)


def _is_forced(plan: Plan, wanted: TargetPlan) -> bool:
    """Whether a scheme or a recipe is given by hand."""
    return bool(wanted.goal.forced or plan.recipe_file)
