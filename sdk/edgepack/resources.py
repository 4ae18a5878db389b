"""The one place that knows where `targets/` and `templates/` are.

In an installed wheel they stand inside the package, in a checkout at its top.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    for folder in (_PACKAGE, _PACKAGE.parent.parent):
        if (folder / "targets").is_dir() and (folder / "templates").is_dir():
            return folder
    raise RuntimeError(
        f"neither {_PACKAGE} nor {_PACKAGE.parent.parent} holds targets/ and templates/: "
        "edgepack is not installed whole; install it again"
    )


def targets() -> Path:
    """The folder of the device profiles that edgepack ships."""
    return _root() / "targets"


def templates() -> Path:
    """The folder of the app templates that edgepack ships."""
    return _root() / "templates"
