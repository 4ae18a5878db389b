"""What a format can carry: a table of schemes by kinds of operators, with a reason for each gap.

The plan reads the table before any work, the format's writer when it knows the model's layers. This
module imports no toolchain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName

OperatorKind = Literal[
    "conv1d",
    "conv2d",
    "depthwise conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "grouped conv_transpose",
    "linear",
    "embedding",
    "recurrent",
]
"""Operators that have weights. `grouped conv_transpose`: transposed, of any rank, with `groups > 1`."""
OPERATOR_KINDS: tuple[OperatorKind, ...] = get_args(OperatorKind)


def gaps(reason: str, *kinds: OperatorKind) -> dict[OperatorKind, str]:
    """Entries of `Row.gaps`: one reason for several kinds of operators."""
    return dict.fromkeys(kinds, reason)


@dataclass(frozen=True)
class Row:
    """How a format carries one scheme."""

    scheme: SchemeName
    gaps: Mapping[OperatorKind, str] = field(default_factory=dict)
    """Kinds of operators that stay in float, each with the reason; the format carries all others."""
    slower: Mapping[OperatorKind, str] = field(default_factory=dict)
    """Kinds of operators that the runtime takes longer for than in float, each with the reason: a search
    leaves the scheme out where they do most of a model's work."""
    min_values: int = 0
    """Weights of fewer values stay in float."""
    min_values_kinds: frozenset[OperatorKind] = frozenset(OPERATOR_KINDS)
    """The kinds of operators for which `min_values` holds."""
    whole_file: str = ""
    """Why single layers cannot differ from the rest of the file in this scheme; empty where they can."""
    refusal: str = ""
    """Why files for this target cannot have the scheme; empty where they can."""

    def float_reason(self, kind: OperatorKind, values: int) -> str:
        """Why a layer of `kind` whose weight has `values` values stays in float; empty where it does not."""
        if SCHEMES[self.scheme].is_float:
            return ""
        if reason := self.gaps.get(kind, ""):
            return reason
        if values < self.least(kind):
            return f"its weight has fewer than {self.min_values} values"
        return ""

    def least(self, kind: OperatorKind | None) -> int:
        """The fewest values of a weight that is not float; `kind` is None of an operator of no kind."""
        return 0 if kind and kind not in self.min_values_kinds else self.min_values


@dataclass(frozen=True)
class Capabilities:
    """What the files of a format can carry, for one target or for any."""

    writer: str
    """What writes the files, as messages name it."""
    rows: tuple[Row, ...]
    dynamic_rows: bool = False
    """Activations that are quantized at run time have a scale for each row, not one for a tensor."""
    mixed: str = ""
    """Why the layers of a file must all have one scheme; empty where they may differ."""
    by_name: Mapping[SchemeName, Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", MappingProxyType({row.scheme: row for row in self.rows}))

    @property
    def schemes(self) -> frozenset[SchemeName]:
        """The schemes that files can have."""
        return frozenset(row.scheme for row in self.rows if not row.refusal)

    def carries(self, scheme: SchemeName) -> bool:
        """Whether files can have a scheme."""
        return scheme in self.schemes

    def refusal(self, scheme: SchemeName) -> str:
        """Why no layer of a file can have a scheme; empty where one can."""
        row = self.by_name.get(scheme)
        if row is None:
            return f"{self.writer} carries {', '.join(sorted(self.schemes))}"
        return row.refusal

    def recipe_refusal(self, recipe: Recipe) -> str:
        """Why no file can follow a recipe, with the layer that decides; empty where one can."""
        if problem := self.refusal(recipe.scheme):
            return problem
        for path, scheme in recipe.layers.items():
            if problem := self.refusal(scheme):
                return f"layer {path} in {scheme}: {problem}"
            if self.mixed and scheme != recipe.scheme:
                return f"layer {path} in {scheme}: {self.mixed}"
        return ""

    def float_reason(self, scheme: SchemeName, kind: OperatorKind, values: int) -> str:
        """Why a layer of `kind` with a weight of `values` values stays in float; empty where it does not."""
        row = self.by_name.get(scheme)
        return row.float_reason(kind, values) if row else self.refusal(scheme)

    def without(self, reasons: Mapping[SchemeName, str]) -> Capabilities:
        """The same table with the schemes of `reasons` refused, each for its reason."""
        rows = (replace(row, refusal=reasons.get(row.scheme, row.refusal)) for row in self.rows)
        return replace(self, rows=tuple(rows))
