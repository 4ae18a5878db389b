"""The goal: what the user asks of compression, and how much of the model's quality it may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from edgepack import toml
from edgepack.errors import PlanError
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.toml import Strict

PruneKind = Literal["channels", "weights", "2:4"]
"""`channels`: whole channels, the network gets smaller; `weights`: single weights become zero;
`2:4`: two of every four weights in a row become zero."""

_HOW = "write a share such as 0.3, auto, 2:4, or weights:0.6"
_SHARE = re.compile(r"^(?:(weights):)?(\d*\.?\d+)$")


@dataclass(frozen=True)
class Pruning:
    """What is pruned; `ratio`, 0..1 exclusive, is None where the largest that serves is looked for."""

    kind: PruneKind
    ratio: float | None

    def __str__(self) -> str:
        if self.kind == "2:4":
            return "2:4"
        share = "auto" if self.ratio is None else f"{self.ratio:g}"
        return share if self.kind == "channels" else f"weights:{share}"


def parse_pruning(text: str) -> Pruning | None:
    """What `--prune TEXT` says; None where it is empty. Raises ValueError where it is not understood."""
    if not text:
        return None
    if text == "auto":
        return Pruning("channels", None)
    if text == "2:4":
        return Pruning("2:4", 0.5)
    match = _SHARE.match(text)
    if not match:
        raise ValueError(f"prune = '{text}' is not understood: {_HOW}")
    ratio = float(match[2])
    if not 0 < ratio < 1:
        raise ValueError(f"prune = {text}: a share lies between 0 and 1, both excluded")
    return Pruning("weights" if match[1] else "channels", ratio)


def _checked_scheme(value: str) -> str:
    if value not in ("", "auto", *SCHEMES):
        raise ValueError(f"there is no scheme '{value}': auto or one of {', '.join(SCHEMES)}")
    return value


def _checked_prune(value: str) -> str:
    parse_pruning(value)
    return value


class Goal(Strict):
    """The table `[compress]`, in a target or in `edgepack.toml`; None or empty where it does not say."""

    max_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    """Most top-1 accuracy that may be lost, in percentage points."""
    min_agreement: Annotated[float, Field(ge=0, le=100)] | None = None
    """Least share of samples, in percent, on which the top answer is the float model's."""
    scheme: Annotated[str, AfterValidator(_checked_scheme)] = ""
    """`auto`: the target's schemes, most saving first; else the one scheme that is written."""
    prune: Annotated[str, BeforeValidator(str), AfterValidator(_checked_prune)] = ""
    recover: Annotated[float, Field(ge=0)] | None = None
    """Minutes of fine-tuning after pruning or low-bit quantization, at most."""
    search_budget: Annotated[float, Field(gt=0)] | None = None
    """Minutes of search, at most, after which the best so far is taken."""
    seed: int | None = None

    def over(self, below: Goal) -> Goal:
        """This goal, with `below` where it says nothing."""
        merged = {
            key: value if (value := getattr(self, key)) not in (None, "") else getattr(below, key)
            for key in type(self).model_fields
        }
        return Goal.model_validate(merged)

    @property
    def forced(self) -> SchemeName | None:
        """The scheme given by hand; None where it is searched for."""
        return next((each for each in SCHEMES if each == self.scheme), None)

    @property
    def pruning(self) -> Pruning | None:
        return parse_pruning(self.prune)

    @property
    def is_auto(self) -> bool:
        return self.forced is None


def of_flags(**flags: float | str | None) -> Goal:
    """The goal that flags of these names ask for. Raises PlanError where one does not make sense."""
    return toml.validate(dict(flags), Goal, "the flags", PlanError)


def check(goal: Goal) -> None:
    """Raise PlanError where a goal contradicts itself."""
    if goal.max_drop == 0 and goal.forced and not SCHEMES[goal.forced].is_float and goal.min_agreement == 100:
        raise PlanError(
            f"--scheme {goal.forced} with --max-drop 0 and --min-agreement 100 asks for int8 that is float",
            hint="leave --scheme to auto, or allow a difference",
        )
    if goal.recover and goal.search_budget and goal.recover > goal.search_budget:
        raise PlanError(
            f"--recover {goal.recover:g} is longer than all of --search-budget {goal.search_budget:g}"
        )
    if goal.recover and not goal.prune and goal.forced and SCHEMES[goal.forced].is_float:
        raise PlanError(
            f"--recover has nothing to recover: {goal.forced} without pruning loses nothing",
            hint="add --prune, or take --recover away",
        )
