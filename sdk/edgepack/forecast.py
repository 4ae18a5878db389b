"""The steps that a build is expected to take, kept up to date while it goes on.

Before a search, its float file and its first candidate are expected; after it, other targets that share the
format's files are expected to try the same candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgepack import formats
from edgepack.emulator import arm
from edgepack.plan import Plan, TargetPlan
from edgepack.progress import Step, Steps
from edgepack.scheme import SCHEMES, SchemeName

_STATIC = 3
"""Steps that choose the recipe of static activations: corrections, and two calibrations."""
_DYNAMIC = 2
"""Steps that compute the corrections of dynamic activations: SmoothQuant and GPTQ."""
_SETUP = 7
"""Steps of the emulator's setup."""

Search = tuple[TargetPlan, str]
"""A target and a format."""
Variant = tuple[str, str]
"""A format and its variant: targets of one variant share files."""
Order = Mapping[tuple[str, str], Sequence[SchemeName]]
"""The schemes that a search tries, in their order, by the names of target and format."""


@dataclass
class Forecast:
    """States in `steps` what a build has still to do."""

    plan: Plan
    steps: Steps
    _searches: list[Search] = field(default_factory=list)
    """Those that are not over, the current one first."""
    _after: list[SchemeName] = field(default_factory=list)
    """Candidates that the current search is expected to try after its current one."""
    _tried: dict[Variant, list[SchemeName]] = field(default_factory=dict)
    """Candidates that were exported, the float file first."""
    _compressed: set[str] = field(default_factory=set)
    """Corrections that were computed; see `_shared`."""
    _order: Order = field(default_factory=dict)
    """Empty until the model is loaded: then searches have the order of their target."""
    _files: dict[Variant, int] = field(default_factory=dict)
    """Files of one export."""
    _devices: bool = False
    """Files are run on emulated devices."""

    def begin(self) -> None:
        """The build begins."""
        self._searches = [
            (wanted, name)
            for wanted in self.plan.targets
            for name in dict.fromkeys(step.format for step in wanted.steps)
        ]
        emulated = any(not arm.unsuited(wanted.target, name) for wanted, name in self._searches)
        self._devices = self.plan.emulator and emulated and arm.is_available()
        self.steps.expect("load", [Step("load")])
        self.steps.expect("set up", [Step("set up")] * _SETUP if self._devices and not arm.status() else [])
        self.steps.expect("bundle", [Step("bundle")] * len(self.plan.targets))
        self._expect([], self._searches)

    def loaded(self, order: Order, *, devices: bool) -> None:
        """The model is loaded, which decides the order of its searches, and the emulator is there or not."""
        self._order = order
        self._devices = devices
        self.steps.expect("set up", [])
        self._expect([], self._searches)

    def candidate(self, wanted: TargetPlan, name: str, scheme: SchemeName, *, is_new: bool) -> None:
        """A candidate begins; a search's first one is the float file. `is_new`: it is not exported yet."""
        while self._searches[0] != (wanted, name):
            del self._searches[0]
        tried = self._tried.setdefault(_variant(wanted, name), [])
        if is_new:
            first = self._first((wanted, name))
            self._after = [] if tried else [each for each in first if each != scheme]
            tried.append(scheme)
            own = [*self._computed(wanted, name, scheme), Step("export", name, scheme)]
        else:
            self._after = tried[tried.index(scheme) + 1 :]
            own = []
        self._compressed.add(_shared(wanted, name, scheme))
        self._expect([*own, *self._runs(wanted, name, scheme, is_new=is_new)], self._searches[1:])

    def exported(self, wanted: TargetPlan, name: str, scheme: SchemeName, files: int) -> None:
        """The current candidate is exported: as `files` files."""
        self._files[_variant(wanted, name)] = files
        self._expect(self._runs(wanted, name, scheme, is_new=True), self._searches[1:])

    def over(self) -> None:
        """The searches of a target are over."""
        current, *later = self._searches
        self._searches, self._after = [search for search in later if search[0] is not current[0]], []
        self._expect([], self._searches)

    def _expect(self, current: list[Step], searches: list[Search]) -> None:
        """State the steps of the current candidate, of those after it, and of searches to come."""
        tried = {variant: list(schemes) for variant, schemes in self._tried.items()}
        compressed = set(self._compressed)
        steps = list(current)
        if self._after:
            steps += self._candidates(self._searches[0], self._after, tried, compressed)
        for search in searches:
            first = list(dict.fromkeys((_float(*search), *self._first(search))))
            steps += self._candidates(search, list(tried.get(_variant(*search)) or first), tried, compressed)
        self.steps.expect("searches", steps)

    def _candidates(
        self,
        search: Search,
        schemes: list[SchemeName],
        tried: dict[Variant, list[SchemeName]],
        compressed: set[str],
    ) -> Iterator[Step]:
        """The steps of candidates to come, which are added to those tried and compressed."""
        known = tried.setdefault(_variant(*search), [])
        for scheme in schemes:
            is_new = scheme not in known
            if is_new:
                known.append(scheme)
                key = _shared(*search, scheme)
                if self.plan.calib and key not in compressed:
                    compressed.add(key)
                    yield from [Step("compress")] * _compressions(scheme)
                yield Step("export", search[1], scheme)
            yield from self._runs(*search, scheme, is_new=is_new)

    def _first(self, search: Search) -> list[SchemeName]:
        """The scheme that a search tries first, in a list; an empty one where it tries none."""
        wanted, name = search
        planned = [step.scheme for step in wanted.steps if step.format == name]
        return list(self._order.get((wanted.target.name, name), planned))[:1]

    def _computed(self, wanted: TargetPlan, name: str, scheme: SchemeName) -> list[Step]:
        """The corrections that a new candidate computes itself; those of static activations chose it."""
        is_known = _shared(wanted, name, scheme) in self._compressed
        if not self.plan.calib or is_known or SCHEMES[scheme].has_static_activations:
            return []
        return [Step("compress")] * _compressions(scheme)

    def _runs(self, wanted: TargetPlan, name: str, scheme: SchemeName, *, is_new: bool) -> list[Step]:
        """Runs of a candidate's files: on this host where they are new, and on the target's device."""
        files = self._files.get(_variant(wanted, name), formats.load(name).files(wanted.target))
        if not formats.runs(name):
            return []
        on_device = self._devices and not arm.unsuited(wanted.target, name)
        return [
            *[Step("run", name, scheme)] * (files if is_new else 0),
            *[Step("device", name, scheme)] * (files if on_device else 0),
        ]


def _variant(wanted: TargetPlan, name: str) -> Variant:
    return name, formats.load(name).variant(wanted.target)


def _float(wanted: TargetPlan, name: str) -> SchemeName:
    choice = wanted.target.choice(name)
    assert choice is not None
    return next(scheme for scheme in choice.schemes if SCHEMES[scheme].is_float)


def _shared(wanted: TargetPlan, name: str, scheme: SchemeName) -> str:
    """What candidates that share their corrections have in common."""
    if SCHEMES[scheme].has_static_activations:
        return "w8a8"
    rows = formats.load(name).capabilities(wanted.target).dynamic_rows
    return f"{scheme}, by rows" if SCHEMES[scheme].has_dynamic_activations and rows else scheme


def _compressions(scheme: SchemeName) -> int:
    """Steps that compute a scheme's corrections."""
    found = SCHEMES[scheme]
    if found.has_static_activations:
        return _STATIC
    if found.has_integer_channels:
        return _DYNAMIC if found.has_dynamic_activations else 1
    return 1 if found.is_palette else 0
