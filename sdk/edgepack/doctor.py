"""The doctor: this host, held against what is known to work together."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from edgepack import formats

_SHOWN = frozenset(
    [
        "torch",
        "torchvision",
        "executorch",
        "torchao",
        "onnx",
        "onnxscript",
        "onnxruntime",
        "coremltools",
        "numpy",
    ]
)


@dataclass(frozen=True)
class Package:
    """A package that edgepack needs, and whether what is installed is of a version known to work."""

    name: str
    known: str
    """The versions known to work, as a specifier."""
    installed: str
    """Empty where it is not installed."""
    fits: bool
    remedy: str


@dataclass(frozen=True)
class Ability:
    """What a format can do on this host; a reason where it cannot."""

    format: str
    cannot_export: str
    cannot_run: str
    evaluator: str
    """What runs its files in the place of its runtime; empty where nothing does, or need not."""


@dataclass(frozen=True)
class Host:
    """What the doctor found."""

    python: str
    system: str
    packages: tuple[Package, ...]
    abilities: tuple[Ability, ...]

    @property
    def healthy(self) -> bool:
        """Every installed package is of a version known to work, and every format can be written."""
        return all(each.fits for each in self.packages if each.installed) and not any(
            each.cannot_export for each in self.abilities
        )


def examine() -> Host:
    """Look at this host; the toolchains' own modules are imported only to ask what they can run."""
    return Host(
        python=platform.python_version(),
        system=f"{sys.platform} {platform.machine()}",
        packages=tuple(_package(each) for each in _requirements()),
        abilities=tuple(_ability(name) for name in formats.names()),
    )


def _requirements() -> list[tuple[Requirement, str]]:
    """What edgepack's own metadata asks for, each with the extra that brings it."""
    found: dict[str, tuple[Requirement, str]] = {}
    for text in metadata.requires("edgepack") or ():
        requirement = Requirement(text)
        extra = str(requirement.marker).partition("extra == ")[2].strip("\"'") if requirement.marker else ""
        if requirement.name in _SHOWN and extra != "all":
            found.setdefault(requirement.name, (requirement, extra))
    return [found[name] for name in sorted(found)]


def _package(wanted: tuple[Requirement, str]) -> Package:
    requirement, extra = wanted
    remedy = (
        f"pip install '{f'edgepack[{extra}]' if extra else f'{requirement.name}{requirement.specifier}'}'"
    )
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Package(requirement.name, str(requirement.specifier), "", False, remedy)
    fits = requirement.specifier.contains(Version(installed), prereleases=True)
    return Package(requirement.name, str(requirement.specifier), installed, fits, "" if fits else remedy)


def _ability(name: str) -> Ability:
    found = formats.load(name).availability()
    return Ability(name, found.export, found.run, found.evaluator)
