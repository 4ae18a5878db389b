"""The reference of the Python API: what `edgepack.__all__` names, documented by autodoc."""

from __future__ import annotations

import inspect
from typing import Any

import edgepack
from edgepack.options import BuildOptions
from edgepack_reference import models

_ON_FORMAT_PAGE = ("Delegate", "Delegation", "Description", "Outside", "Target")
"""Types that the page of the format protocol documents."""


def reference() -> str:
    """Functions, with the keywords of a build; then types; then errors."""
    found = {name: getattr(edgepack, name) for name in edgepack.__all__}
    functions = [name for name, each in found.items() if inspect.isroutine(each)]
    errors = [name for name, each in found.items() if _is_error(each)]
    types = [name for name in found if name not in (*functions, *errors, *_ON_FORMAT_PAGE)]
    parts = [
        "## Functions\n",
        _documented("autofunction", functions),
        "## Keywords of a build\n",
        "`build` and `make_plan` take these keywords, which are the fields of `BuildOptions` and the flags "
        "of `edgepack build`. What is not given comes from `edgepack.toml`, from the target, or from the "
        "default.\n",
        models.keywords(BuildOptions, without=("model",)),
    ]
    if types:
        parts += ["## Types\n", _documented("autoclass", types, ":members:")]
    parts += ["## Errors\n", _documented("autoexception", errors, ":show-inheritance:")]
    return "\n".join(parts)


def _is_error(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, BaseException)


def _documented(directive: str, names: list[str], *options: str) -> str:
    lines = ["```{eval-rst}"]
    for name in names:
        lines += [f".. {directive}:: edgepack.{name}", *(f"   {option}" for option in options), ""]
    return "\n".join([*lines, "```\n"])
