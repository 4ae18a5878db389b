"""A recipe: the precision in which a model's layers are kept, and what is pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import tomli_w
from pydantic import AliasChoices, Field, PrivateAttr

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
    """The format that the recipe is for; empty: every format without a recipe of its own."""
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


class RecipeFile(Strict):
    """A `recipe.toml`: one recipe per format, and the pruning that precedes all of them."""

    schema_number: Literal[1, 2] = 1
    """Version of this file format; a file without a number is read as 1. Schema 1 had `w8` and `w4` for
    `w8d` and `w4d`, and `feedback` for `gptq`."""
    prune: str = ""
    """As `--prune` takes it, with a fixed ratio."""
    recover_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of fine-tuning after pruning."""
    seed: int = 0
    """Random seed of the calibration split and of distillation."""
    recipe: Annotated[tuple[_Table, ...], Field(min_length=1)]
    _renamed: tuple[str, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What `read` understood although the file names it as earlier versions did."""
        return self._renamed

    def of(self, format_name: str) -> Recipe | None:
        """The recipe for a format: its own, else the one without a format; None where there is none."""
        candidates = [table for table in self.recipe if table.format in (format_name, "")]
        if not candidates:
            return None
        table = max(candidates, key=lambda table: bool(table.format))
        return Recipe(**table.model_dump(exclude={"format"}))


def read(path: Path) -> RecipeFile:
    """The recipes in a `recipe.toml`. Raises PlanError where there is none or it does not validate."""
    if not path.is_file():
        raise PlanError(f"there is no recipe {path}")
    data = toml.read(path, PlanError)
    file = toml.validate(data, RecipeFile, str(path), PlanError)
    tables = data.get("recipe")
    if isinstance(tables, list) and any("feedback" in table for table in tables):
        file._renamed = (f"{path}: the key feedback is called gptq now, and was read as such",)
    return file


def with_dynamic_schemes(recipe: Recipe, carries: Callable[[SchemeName], bool]) -> tuple[Recipe, str]:
    """A recipe of schema 1 with the schemes renamed that a format carries with dynamic activations only.

    Returns the recipe and a note on what was renamed; the note is empty where nothing was.
    """
    renamed = {
        scheme.name: f"{scheme.name}d"
        for scheme in recipe.schemes
        if not carries(scheme.name) and f"{scheme.name}d" in SCHEMES and carries(f"{scheme.name}d")
    }
    if not renamed:
        return recipe, ""
    layers = {path: renamed.get(name, name) for path, name in recipe.layers.items()}
    words = ", ".join(f"{old} is read as {new} ({SCHEMES[new].about})" for old, new in renamed.items())
    return replace(recipe, scheme=renamed.get(recipe.scheme, recipe.scheme), layers=layers), words


def to_toml(recipes: Mapping[str, Recipe], prune: str, recover_steps: int, seed: int) -> str:
    """Recipes by format, as the text of a file that `read` reads."""
    tables = tuple(
        _Table(format=name, **{key.name: getattr(recipe, key.name) for key in fields(recipe)})
        for name, recipe in recipes.items()
    )
    file = RecipeFile(schema_number=2, prune=prune, recover_steps=recover_steps, seed=seed, recipe=tables)
    return tomli_w.dumps(file.model_dump(mode="json"))
