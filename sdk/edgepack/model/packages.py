"""Packages of extras, which are imported where they are used."""

from __future__ import annotations

import importlib.util

from edgepack.errors import SourceError


def check(package: str, extra: str) -> None:
    """Raise SourceError if `package`, which the extra `extra` brings, is not installed."""
    if importlib.util.find_spec(package) is None:
        raise SourceError(
            f"{package} is needed for this model and is not installed",
            hint=f"pip install 'edgepack[{extra}]'",
        )
