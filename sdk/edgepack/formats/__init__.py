"""Formats: each a module that writes a model down and runs the file on the host.

A module of this package, or one that a third party gives under the entry-point group
`edgepack.formats`, is a format if it satisfies `Format`. They are found by name and imported on
use; none imports its toolchain before a function of it needs one.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from edgepack import toml
from edgepack.delegation import Delegation
from edgepack.errors import BundleError, ExportError, PlanError
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.target import Target

if TYPE_CHECKING:
    from torch import Tensor as Weight
    from torch.fx import GraphModule, Node

    from edgepack.arrays import Array, Sample
    from edgepack.contract import Contract
    from edgepack.model.source import Source


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model file; a dimension that is free is its name, or -1."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Layer:
    """What a layer's constants cost in the file."""

    name: str
    operator: str
    precision: str
    bytes: int


@dataclass(frozen=True)
class Description:
    """What a model file holds."""

    format: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    """How often each operator stands in the program."""
    layers: tuple[Layer, ...]
    """Layers that have constants, largest first."""
    quantized: float | None
    """Share, 0..1, of the operators with weights that compute on, or store them in, integers."""
    kept_float: tuple[str, ...]
    """Operators with weights that stayed in float."""
    delegated: float | None = None
    """Share, 0..1, of operators that a delegate runs; None where the format has none."""
    metadata: tuple[tuple[str, str], ...] = ()
    outside: dict[str, int] = field(default_factory=dict)
    """How often each kernel stands outside of delegates."""
    delegation: Delegation | None = None
    """Known where the file was written, not in the file: from the report of the bundle that it lies in."""
    contract: Contract | None = None
    """What the file says that an app must feed it and may read from it; None where it says nothing."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote, beside what the caller should know of it."""

    models: tuple[Path, ...]
    """Files or folders that a runtime loads, the first the one that was asked for."""
    companions: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    activation: str = "none"
    """The contract's activation, where the file itself applies it to its first output."""
    timed: bool = True
    """Whether its speed on this host tells anything of the runtime that it is written for."""
    delegation: Delegation | None = None
    """What delegates were given; None where the format has none."""


class Runner(Protocol):
    """A loaded model file."""

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        """Outputs, in order, for one sample."""
        ...


class Format(Protocol):
    """What a module must have to be a format; `tests/test_shipped.py` checks those that are here."""

    SUFFIX: str
    READS: tuple[str, ...]
    """Endings of the files that `load` and `describe` take."""
    SCHEMES: frozenset[SchemeName]
    ABOUT: str
    EXTRA: str
    """The extra of edgepack that brings the toolchain; empty where torch alone does."""

    def cannot_export(self) -> str:
        """Why nothing can be written on this host, with the command that helps; empty if it can."""
        ...

    def cannot_run(self, path: Path | None = None) -> str:
        """Why the file at `path`, or files without one, cannot be run on this host; empty if they can."""
        ...

    def variant(self, target: Target) -> str:
        """What of the target changes the file: two targets of one variant share the file."""
        ...

    def export(self, source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
        """Write `source` at `path` (which ends in SUFFIX). Raises ExportError, the cause kept."""
        ...

    def cannot_carry(self, scheme: SchemeName, target: Target) -> str:
        """Why files for a target cannot be of a scheme; empty if they can."""
        ...

    def keeps_float(self, graph: GraphModule, layer: Node, scheme: SchemeName) -> bool:
        """Whether files keep a layer of a graph in float although a recipe wants it in `scheme`."""
        ...

    def in_blocks(self, weight: Weight) -> Weight:
        """A layer's weight as `w4` holds it; itself where the format has no `w4`."""
        ...

    def no_gain(self, kind: PruneKind, target: Target) -> str:
        """Why this format gains nothing from a kind of pruning; empty where it does."""
        ...

    def evaluator(self, path: Path | None = None) -> str:
        """What `load` runs the file at `path`, or files without one, with where the format's own runtime
        is not, in words; else empty."""
        ...

    def import_runtime(self) -> None:
        """Bring the bare runtime into memory, above which a model's memory is measured."""
        ...

    def load(self, path: Path) -> Runner:
        """The file, ready to run with one thread."""
        ...

    def describe(self, path: Path) -> Description:
        """What the file holds. Raises BundleError where it cannot be read."""
        ...


def names() -> list[str]:
    """The formats there are."""
    own = [each.name for each in pkgutil.iter_modules(__path__) if each.ispkg]
    others = [each.name for each in entry_points(group="edgepack.formats")]
    return sorted({*own, *others})


def load(name: str) -> Format:
    """The format called `name`, which must be one of `names()`."""
    for each in entry_points(group="edgepack.formats"):
        if each.name == name:
            return cast("Format", each.load())
    return cast("Format", importlib.import_module(f"{__name__}.{name}"))


def checked(name: str) -> str:
    """`name` itself. Raises PlanError where there is no such format."""
    if name not in names():
        raise PlanError(f"there is no format '{name}': {toml.near(name, names())}")
    return name


def runs(name: str, path: Path | None = None) -> bool:
    """Whether files of a format, or the one at `path`, are run on this host, by their own runtime or by an
    evaluator."""
    module = load(name)
    return not module.cannot_run(path) or bool(module.evaluator(path))


def facts(name: str) -> dict[str, Any]:
    """What a list of formats tells of one, as plain values."""
    module = load(name)
    return {
        "name": name,
        "about": module.ABOUT,
        "suffix": module.SUFFIX,
        "schemes": sorted(module.SCHEMES),
        "extra": module.EXTRA,
        "cannot_export": module.cannot_export(),
        "cannot_run": module.cannot_run(),
        "evaluator": module.evaluator(),
    }


def describe(path: Path) -> Description:
    """What the model file at `path` holds, whichever format it is of.

    Raises BundleError where it is missing, damaged, or of a kind that no format reads, and
    ExportError where the format's toolchain is not installed.
    """
    if not path.exists():
        raise BundleError(f"there is no file {path}")
    readers = {ending: name for name in names() for ending in load(name).READS}
    if path.suffix not in readers:
        raise BundleError(f"{path}: no format reads '{path.suffix}'; known are {' '.join(sorted(readers))}")
    module = load(readers[path.suffix])
    if problem := module.cannot_export():
        raise ExportError(f"{path} cannot be read here: {problem}")
    from edgepack.formats import contract_metadata

    return contract_metadata.explained(module.describe(path))


def missing_modules(modules: Sequence[str]) -> list[str]:
    """Those of `modules` that are not installed; nothing is imported."""
    return [name for name in modules if importlib.util.find_spec(name) is None]
