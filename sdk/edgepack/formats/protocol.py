"""What a module must have to be a format, and what its functions return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgepack.delegation import Delegation
from edgepack.formats.availability import Availability
from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description
from edgepack.recipe import Recipe
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample
    from edgepack.model.source import Source


@dataclass(frozen=True)
class Exported:
    """The files that an export wrote, and what their evaluation must know about them."""

    models: tuple[Path, ...]
    """Files or folders that a runtime loads; the first is the path that `export` was given."""
    companions: tuple[Path, ...] = ()
    """Files that no runtime loads and that belong in the bundle."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    activation: str = "none"
    """The activation of the contract's first output, where the file applies it itself: the reference
    outputs are compared with it applied, and the app does not apply it again."""
    timed: bool = True
    """Whether run time on this host says anything about the runtime that the file is written for; where it
    does not, the report has no time."""
    delegation: Delegation | None = None
    """What the delegates were given; None where the format has no delegates."""


class Runner(Protocol):
    """A loaded model file."""

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        """The outputs for one sample, in the order of the contract."""
        ...


class Format(Protocol):
    """What every format must have. `LoadedFormat` has the optional members and their defaults."""

    SUFFIX: str
    """Suffix of the files that `export` writes, with its dot."""

    def capabilities(self, target: Target | None = None) -> Capabilities:
        """What files for a target can carry, by scheme and kind of operator; without a target, for any."""
        ...

    def availability(self, path: Path | None = None) -> Availability:
        """What this host can do with the format, or with the file at `path`.

        Without `path` it imports no toolchain: it is called before any work starts.
        """
        ...

    def export(self, source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
        """Write `source` at `path`, which ends in SUFFIX. Raises ExportError."""
        ...

    def load(self, path: Path) -> Runner:
        """The file at `path`, ready to run on one thread. Raises BundleError where it cannot be read."""
        ...

    def describe(self, path: Path) -> Description:
        """What the file at `path` contains. Raises BundleError where it cannot be read."""
        ...
