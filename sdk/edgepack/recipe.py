"""A recipe: the precision in which a model's layers are kept, and what is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, get_args

import tomli_w
from pydantic import Field

from edgepack import toml
from edgepack.errors import PlanError
from edgepack.toml import Strict

Scheme = Literal[
    "fp32", "fp16", "w8a8", "w8", "w8d", "w4", "p8", "p6", "p4", "sparse", "sparse+p6"
]  # fmt: skip
"""What a layer's weights and activations are kept in; `MEANINGS` says what each is."""

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
FLOATS: frozenset[Scheme] = frozenset({"fp32", "fp16"})
NEEDS_SAMPLES: frozenset[Scheme] = frozenset({"w8a8"})
"""Schemes whose activation ranges are measured on calibration samples."""
FEW_VALUES: frozenset[Scheme] = frozenset({"p4", "w4"})
"""Schemes of so few values that training with them in place is worth its time."""
NEEDS_ZEROS: frozenset[Scheme] = frozenset({"sparse", "sparse+p6"})
"""Schemes that store zeros for nothing, and so want pruned weights."""

MEANINGS: dict[Scheme, str] = {
    "fp32": "32-bit float",
    "fp16": "16-bit float",
    "w8a8": "int8 weights and activations, ranges calibrated on samples",
    "w8": "int8 weights, float activations (quantized at run time where a runtime has no other kernels)",
    "w8d": "int8 weights, activations quantized at run time",
    "w4": "4-bit weights in blocks, float activations (executorch: quantized at run time)",
    "p8": "8-bit palette: 256 values a weight tensor, float arithmetic",
    "p6": "6-bit palette: 64 values a weight tensor, float arithmetic",
    "p4": "4-bit palette: 16 values a weight tensor or group of channels, float arithmetic",
    "sparse": "pruned weights stored without their zeros, float arithmetic",
    "sparse+p6": "pruned weights stored without their zeros, the rest in a 6-bit palette",
}

RangeRule = Literal["min-max", "least-error", "percentile"]
"""How an activation's range follows from what calibration saw of it: all values; the clipping that
loses the least squared error, tensor by tensor; 99.999 % of the values."""
Equalization = Literal["none", "exact", "clamped"]
"""How channels are rescaled and shifted before int8: not at all; so that the float answers stay;
or also those far below a clamp such as ReLU6, which holds as far as calibration saw."""
RANGE_RULES: tuple[RangeRule, ...] = get_args(RangeRule)

ROOT = "."
"""The path of a layer that is the whole model."""


@dataclass(frozen=True)
class Recipe:
    """What each layer of a model is kept in."""

    scheme: Scheme
    """Of every layer that `layers` does not name."""
    layers: Mapping[str, Scheme] = field(default_factory=dict)
    """By module path (`features.3.conv.0`); a path stands for all layers below it, too."""
    ranges: RangeRule = "min-max"
    """Of the activations, in `w8a8`."""
    equalize: Equalization = "none"
    correct_bias: bool = False
    """Whether the mean error of quantized layers is taken out of their biases."""
    feedback: bool = False
    """Whether weights, in palettes or int8, make up for each other's errors; nothing without samples."""

    @property
    def is_float(self) -> bool:
        return self.scheme in FLOATS

    def of(self, path: str) -> Scheme:
        """The scheme of the layer at a module path: that of the nearest path named at or above it."""
        while path:
            if path in self.layers:
                return self.layers[path]
            path = path.rpartition(".")[0]
        return self.scheme


class _Table(Strict):
    """One `[[recipe]]` of a `recipe.toml`."""

    format: str = ""
    """The format that it is for; empty: every format that none is named for."""
    scheme: Scheme
    ranges: RangeRule = "min-max"
    equalize: Equalization = "none"
    correct_bias: bool = False
    feedback: bool = False
    layers: dict[str, Scheme] = {}  # noqa: RUF012  # pydantic copies it


class Book(Strict):
    """A `recipe.toml`: a recipe a format, and what is pruned before any of them."""

    schema_number: Literal[1] = 1
    prune: str = ""
    """As `--prune` takes it, the share settled."""
    recover_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of fine-tuning after pruning."""
    seed: int = 0
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
