"""A recipe: the precision in which a model's layers are kept, and what is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, get_args

import tomli_w
from pydantic import AliasChoices, Field

from edgepack import toml
from edgepack.errors import PlanError
from edgepack.scheme import SCHEMES, Scheme, SchemeName
from edgepack.toml import Strict

RangeRule = Literal["min-max", "least-error", "percentile"]
"""How an activation's range follows from what calibration saw of it: all values; the clipping that
loses the least squared error, tensor by tensor; 99.999 % of the values."""
Equalization = Literal["none", "exact", "clamped"]
"""How channels are rescaled and shifted before int8: not at all; so that the float answers stay;
or also those far below a clamp such as ReLU6, which holds as far as calibration saw."""
Gptq = Annotated[bool, Field(validation_alias=AliasChoices("gptq", "feedback"))]
"""Files written by earlier versions call it `feedback`."""
RANGE_RULES: tuple[RangeRule, ...] = get_args(RangeRule)

ROOT = "."
"""The path of a layer that is the whole model."""


@dataclass(frozen=True)
class Recipe:
    """What each layer of a model is kept in."""

    scheme: SchemeName
    """Of every layer that `layers` does not name."""
    layers: Mapping[str, SchemeName] = field(default_factory=dict)
    """By module path (`features.3.conv.0`); a path stands for all layers below it, too."""
    ranges: RangeRule = "min-max"
    """Of the activations, in `w8a8`."""
    equalize: Equalization = "none"
    correct_bias: bool = False
    """Whether the mean error of quantized layers is taken out of their biases."""
    gptq: Gptq = False
    """Whether GPTQ rounds integer and palette weights; without calibration samples it does nothing."""

    @property
    def base(self) -> Scheme:
        """The scheme of every layer that `layers` does not name."""
        return SCHEMES[self.scheme]

    @property
    def is_float(self) -> bool:
        """The base scheme is floating point."""
        return self.base.is_float

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """Every scheme of the recipe once, the base first."""
        return tuple(SCHEMES[name] for name in dict.fromkeys((self.scheme, *self.layers.values())))

    def at(self, path: str) -> Scheme:
        """The scheme of the layer at a module path."""
        return SCHEMES[self.of(path)]

    def of(self, path: str) -> SchemeName:
        """The name of a layer's scheme: that of the nearest path named at or above it."""
        while path:
            if path in self.layers:
                return self.layers[path]
            path = path.rpartition(".")[0]
        return self.scheme


@dataclass(frozen=True)
class Step:
    """A rung of a format's ladder: a scheme that is tried."""

    format: str
    scheme: SchemeName
    why: str
    recipe: Recipe | None = None
    """The recipe to follow, where one is given by hand."""


class _Table(Strict):
    """One `[[recipe]]` of a `recipe.toml`."""

    format: str = ""
    """The format that it is for; empty: every format that none is named for."""
    scheme: SchemeName
    """Scheme of every layer that `layers` does not name."""
    ranges: RangeRule = "min-max"
    """How activation ranges are chosen: all calibrated values, the clipping with the least squared error,
    or 99.999 % of the values."""
    equalize: Equalization = "none"
    """Cross-layer equalization: none, exact, or also below a clamp such as ReLU6."""
    correct_bias: bool = False
    """Subtract the mean error of quantized layers from their biases."""
    gptq: Gptq = False
    """Compensate rounding errors of weights with GPTQ."""
    layers: dict[str, SchemeName] = {}  # noqa: RUF012  # pydantic copies it
    """Scheme of single layers by module path; a path includes all layers below it."""


class Book(Strict):
    """A `recipe.toml`: a recipe a format, and what is pruned before any of them."""

    schema_number: Literal[1] = 1
    """Version of this file format."""
    prune: str = ""
    """As `--prune` takes it, the share settled."""
    recover_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of fine-tuning after pruning."""
    seed: int = 0
    """Random seed of the calibration split and of distillation."""
    recipe: Annotated[tuple[_Table, ...], Field(min_length=1)]

    def of(self, format_name: str) -> Recipe | None:
        """The recipe for a format: its own, else the one without a format; None where there is none."""
        found = [each for each in self.recipe if each.format in (format_name, "")]
        if not found:
            return None
        table = max(found, key=lambda each: bool(each.format))
        values = table.model_dump(exclude={"format"})
        return Recipe(**values)


def read(path: Path) -> Book:
    """The recipes in a `recipe.toml`. Raises PlanError where there is none or it does not validate."""
    if not path.is_file():
        raise PlanError(f"there is no recipe {path}")
    return toml.validate(toml.read(path, PlanError), Book, str(path), PlanError)


def to_toml(recipes: Mapping[str, Recipe], prune: str, recover_steps: int, seed: int) -> str:
    """Recipes by format as `read` takes them back."""
    tables = [
        _Table(format=name, **{key.name: getattr(each, key.name) for key in fields(each)})
        for name, each in recipes.items()
    ]
    book = Book(prune=prune, recover_steps=recover_steps, seed=seed, recipe=tuple(tables))
    return tomli_w.dumps(book.model_dump(mode="json"))
