"""The registry of formats: each a module that exports a model to a file and runs the file on the host.

A format is a package in this folder, or a module that another distribution names under the entry-point
group `edgepack.formats`. It satisfies `Format`; optional members and their defaults are in `LoadedFormat`.
Importing a format imports no toolchain: its functions do.
"""

from __future__ import annotations

import errno
import functools
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from edgepack import target, toml
from edgepack.errors import (
    BundleError,
    EdgepackError,
    ExportError,
    PlanError,
    TargetError,
    first_line,
)
from edgepack.formats import contract_metadata, format_options
from edgepack.formats.availability import Availability, missing
from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description, Layer, Tensor
from edgepack.formats.protocol import Exported, Format, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.target import Target

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgepack.graph.weight_storage import WeightStorage
    from edgepack.model.source import Source

__all__ = [
    "Availability",
    "Capabilities",
    "Description",
    "Exported",
    "Format",
    "Layer",
    "LoadedFormat",
    "Runner",
    "Tensor",
    "checked",
    "describe",
    "facts",
    "load",
    "load_target",
    "missing",
    "names",
    "runs",
]

GROUP = "edgepack.formats"
"""The entry-point group of formats that other distributions bring."""
EDGEPACK = "edgepack"
"""The distribution of the formats in this folder."""
_REQUIRED = tuple(name for name in (*Format.__annotations__, *vars(Format)) if not name.startswith("_"))
"""The members that every format must have."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_T = TypeVar("_T")


class LoadedFormat:
    """A format's module, with a default for every optional member that it leaves out.

    The members of the module have the names used here, constants in capitals: `reads` is `READS`, and
    `options_model` is `OPTIONS`.
    """

    def __init__(self, name: str, module: Format, distribution: str = EDGEPACK) -> None:
        self.name = name
        self.distribution = distribution
        """The distribution that brings the format."""
        self._module = module

    def _constant(self, name: str, default: _T) -> _T:
        return cast("_T", getattr(self._module, name, default))

    def _call(self, name: str, default: _T, *arguments: object) -> _T:
        function = getattr(self._module, name, None)
        return default if function is None else cast("_T", function(*arguments))

    @property
    def suffix(self) -> str:
        """Suffix of the files that `export` writes."""
        return self._module.SUFFIX

    @property
    def schemes(self) -> frozenset[SchemeName]:
        """The schemes that files can have."""
        return self.capabilities().schemes

    @property
    def reads(self) -> tuple[str, ...]:
        """Suffixes of the files that `load` and `describe` read; by default that of `export` only."""
        return self._constant("READS", (self.suffix,))

    @property
    def about(self) -> str:
        """What the format is, in one line; by default its name."""
        return self._constant("ABOUT", self.name)

    @property
    def extra(self) -> str:
        """The extra of `distribution` that installs the toolchain; empty by default."""
        return self._constant("EXTRA", "")

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages whose versions decide what is in a file, without edgepack and torch; by default the
        distribution that brings the format. `doctor` shows them and a bundle's manifest records them."""
        own = () if self.distribution == EDGEPACK else (self.distribution,)
        return (*own, *self._constant("PACKAGES", ()))

    def capabilities(self, target: Target | None = None) -> Capabilities:
        """What files for a target can carry, by scheme and kind of operator; without a target, for any."""
        return self._module.capabilities(target)

    def availability(self, path: Path | None = None) -> Availability:
        """What this host can do with the format, or with the file at `path`."""
        return self._module.availability(path)

    @property
    def options_model(self) -> type[BaseModel]:
        """The pydantic model of its keys in a target's `[[formats]]` table, `OPTIONS`; by default there are
        none."""
        return self._constant("OPTIONS", format_options.NoOptions)

    def check_target(self, target: Target) -> str:
        """Why a target's options for the format do not go with the rest of the target; empty if they do."""
        return self._call("check_target", "", target)

    def min_delegated(self, target: Target) -> float | None:
        """Least share of the multiply-adds, in percent, that the target wants delegates to run; by default
        there is no such limit."""
        return self._call("min_delegated", None, target)

    def variant(self, target: Target) -> str:
        """Cache key: targets with equal variants get the same file. By default all targets do."""
        return self._call("variant", "", target)

    def files(self, target: Target) -> int:
        """How many model files an export for a target writes, for the forecast of steps; by default 1."""
        return self._call("files", 1, target)

    def no_gain(self, kind: PruneKind, target: Target) -> str:
        """Why a kind of pruning makes files for a target neither smaller nor faster; empty where it does.

        By default only fewer channels do.
        """
        zeros = f"a {self.suffix} stores zeros like any other weight, and its kernels multiply by them"
        return self._call("no_gain", "" if kind == "channels" else zeros, kind, target)

    def float_reason(self, graph: GraphModule, layer: Node, scheme: SchemeName, target: Target) -> str:
        """Why an operator of a captured graph stays in float in files for a target, although its scheme is
        `scheme`; empty where it does not. By default the table of capabilities says so."""
        from edgepack.formats import operator_kinds

        by_table = operator_kinds.float_reason(self.capabilities(target), graph, layer, scheme)
        return self._call("float_reason", by_table, graph, layer, scheme, target)

    def weight_storage(self) -> WeightStorage:
        """How files store weights, for quantization-aware training; by default every layer takes its
        recipe's scheme, and no scheme has blocks."""
        from edgepack.graph.weight_storage import WeightStorage

        plain = WeightStorage(keeps_float=lambda *_: False, in_blocks=lambda weight: weight)
        return self._call("weight_storage", plain)

    def export(self, source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
        """Write `source` at `path`. Raises ExportError, whatever the format's toolchain raises, and OSError
        where there is no room for the file."""
        from edgepack.graph import provenance

        try:
            with provenance.shared():
                return self._module.export(source, recipe, target, path)
        except ExportError:
            raise
        except EdgepackError as cause:
            raise ExportError(str(cause), hint=cause.hint) from cause
        except Exception as cause:  # toolchains raise errors of no common base
            if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
                raise
            from edgepack.formats.unsupported_operators import refusal

            raise refusal(self.name, source.exported, cause) from cause

    def import_runtime(self) -> None:
        """Import the runtime, so that memory measured afterwards is the model's; by default nothing."""
        self._call("import_runtime", None)

    def load(self, path: Path) -> Runner:
        """The file at `path`, ready to run on one thread. Raises BundleError where it cannot be read."""
        return self._module.load(path)

    def describe(self, path: Path) -> Description:
        """What the file at `path` contains. Raises BundleError where it cannot be read."""
        try:
            return self._module.describe(path)
        except EdgepackError:
            raise
        except Exception as cause:  # damaged files raise errors of no common base
            raise BundleError(f"{path} cannot be read: {first_line(cause)}") from cause


@functools.cache
def _shipped() -> frozenset[str]:
    """The formats in this folder."""
    return frozenset(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


@functools.cache
def _third_party() -> dict[str, EntryPoint]:
    """Entry points of the formats that other distributions bring.

    Raises PlanError where one has the name of another format: which of them is meant must not depend on
    the order of installation.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in _shipped() or entry.name in found:
            other = f"'{_distribution(found[entry.name])}'" if entry.name in found else "edgepack itself"
            raise PlanError(
                f"package '{_distribution(entry)}' brings a format '{entry.name}', and so does {other}",
                hint=f"pip uninstall {_distribution(entry)}",
            )
        found[entry.name] = entry
    return found


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def names() -> list[str]:
    """The names of all formats. Raises PlanError where two formats have one name."""
    return sorted({*_shipped(), *_third_party()})


@functools.cache
def load(name: str) -> LoadedFormat:
    """The format called `name`, which must be one of `names()`.

    Raises PlanError where another distribution brings it, and it cannot be imported or is no format.
    """
    entry = _third_party().get(name)
    if entry is None:
        return LoadedFormat(name, cast("Format", importlib.import_module(f"{__name__}.{name}")))
    what, package = f"format '{name}' of package '{_distribution(entry)}'", _distribution(entry)
    hint = f"pip uninstall {package}, or install a version of it for this edgepack"
    try:
        module = entry.load()
    except Exception as cause:  # importing another's module can raise anything
        raise PlanError(f"{what} cannot be imported: {type(cause).__name__}: {cause}", hint=hint) from cause
    if absent := [member for member in _REQUIRED if not hasattr(module, member)]:
        raise PlanError(f"{what} has no {', '.join(absent)}", hint=hint)
    return LoadedFormat(name, module, package)


def load_target(name: str) -> Target:
    """The target called `name`, or the one at the path `name`, its formats' options validated and complete.

    Options of a format that is not installed stay as they are: a plan that needs the format refuses it.
    Raises TargetError where there is no such target, or where its file does not validate.
    """
    device, where = target.load(name), str(target.file_of(name))
    choices = []
    for number, choice in enumerate(device.formats):
        if choice.name in names():
            model = load(choice.name).options_model
            given = format_options.validated(choice.options, model, where, f"formats.{number}")
            choice = choice.model_copy(update={"options": given})
        choices.append(choice)
    complete = device.model_copy(update={"formats": tuple(choices)})
    for choice in choices:
        problem = load(choice.name).check_target(complete) if choice.name in names() else ""
        if problem:
            raise TargetError(f"{where}: format '{choice.name}': {problem}")
    return complete


def checked(name: str) -> str:
    """`name` itself. Raises PlanError where there is no such format."""
    if name not in names():
        raise PlanError(f"there is no format '{name}': {toml.near(name, names())}")
    return name


def runs(name: str, path: Path | None = None) -> bool:
    """Whether files of a format, or the one at `path`, run on this host, in their own runtime or in an
    evaluator."""
    return load(name).availability(path).runs


def facts(name: str) -> dict[str, Any]:
    """What `edgepack formats` shows about a format, as plain values."""
    found = load(name)
    availability = found.availability()
    return {
        "name": name,
        "about": found.about,
        "suffix": found.suffix,
        "schemes": sorted(found.schemes),
        "extra": found.extra,
        "cannot_export": availability.export,
        "cannot_run": availability.run,
        "evaluator": availability.evaluator,
    }


def describe(path: Path) -> Description:
    """What the model file at `path` contains, whatever its format.

    Raises BundleError where it is missing, damaged, or has a suffix that no format reads, and ExportError
    where the format's toolchain is not installed.
    """
    if not path.exists():
        raise BundleError(f"there is no file {path}")
    readers = {suffix: name for name in names() for suffix in load(name).reads}
    if path.suffix not in readers:
        raise BundleError(f"{path}: no format reads '{path.suffix}'; known are {' '.join(sorted(readers))}")
    found = load(readers[path.suffix])
    if problem := found.availability().export:
        raise ExportError(f"{path} cannot be read here: {problem}")
    return contract_metadata.explained(found.describe(path))
