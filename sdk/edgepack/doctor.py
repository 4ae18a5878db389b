"""The doctor: which packages this host has, whether their versions are known to work, and what every format
can do here."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from edgepack import formats

_CORE = ("torch", "torchvision", "numpy")
"""Packages of edgepack that are listed besides those of the formats."""
IMPORTED = ("torchvision",)
"""Packages whose import is tried, in a process of its own: their version does not tell whether they work.
torchvision must come from the same index as torch."""
_EXTRA = re.compile(r"extra == [\"']([^\"']+)")


@dataclass(frozen=True)
class Package:
    """A package that edgepack or a format needs."""

    name: str
    known: str
    """The versions known to work, as a specifier; empty where any may."""
    installed: str
    """The installed version; empty where it is not installed."""
    fits: bool
    """Whether the installed version is known to work."""
    remedy: str
    """The command that installs a version known to work; empty if one is installed."""
    problem: str = ""
    """Why the installed version cannot be imported, if that was tried; see `IMPORTED`."""


@dataclass(frozen=True)
class Ability:
    """What a format can do on this host; the fields are those of `Availability`."""

    format: str
    cannot_export: str
    cannot_run: str
    evaluator: str


@dataclass(frozen=True)
class Host:
    """What `examine` found."""

    python: str
    system: str
    packages: tuple[Package, ...]
    abilities: tuple[Ability, ...]


def examine() -> Host:
    """Look at this host; no toolchain is imported into this process."""
    return Host(
        python=platform.python_version(),
        system=f"{sys.platform} {platform.machine()}",
        packages=tuple(sorted(_packages(), key=lambda each: each.name)),
        abilities=tuple(_ability(name) for name in formats.names()),
    )


def _packages() -> Iterator[Package]:
    """The packages of edgepack and of every format, by the requirements of the distribution that brings the
    format."""
    wanted: dict[str, set[str]] = {formats.EDGEPACK: set(_CORE)}
    for name in formats.names():
        found = formats.load(name)
        wanted.setdefault(found.distribution, set()).update(found.packages)
    for distribution, names in wanted.items():
        requirements = _requirements(distribution)
        for name in names:
            requirement, extra = requirements.get(name, (Requirement(name), ""))
            yield _package(requirement, f"{distribution}[{extra}]" if extra else str(requirement))


def _requirements(distribution: str) -> dict[str, tuple[Requirement, str]]:
    """What the metadata of a distribution requires, by name, each with the extra that it belongs to."""
    found: dict[str, tuple[Requirement, str]] = {}
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        extra = _EXTRA.search(str(requirement.marker)) if requirement.marker else None
        if extra is None or extra[1] != "all":
            found.setdefault(requirement.name, (requirement, extra[1] if extra else ""))
    return found


def _package(requirement: Requirement, what: str) -> Package:
    name, known, remedy = requirement.name, str(requirement.specifier), f"pip install '{what}'"
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Package(name, known, "", False, remedy)
    fits = requirement.specifier.contains(Version(installed), prereleases=True)
    problem = _import_problem(name) if name in IMPORTED else ""
    return Package(name, known, installed, fits, "" if fits else remedy, problem)


def _import_problem(name: str) -> str:
    """The last line of what Python says when it cannot import `name`; empty where it can."""
    ended = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True)
    lines = ended.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit code {ended.returncode}") if ended.returncode else ""


def _ability(name: str) -> Ability:
    found = formats.load(name).availability()
    return Ability(name, found.export, found.run, found.evaluator)
