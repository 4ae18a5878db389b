"""Templates: folders of app code, rendered with a bundle's contract.

Only files that end in `.j2` have holes; all others are copied as they are.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgepack import document, resources
from edgepack.contract import Contract
from edgepack.document import Strict
from edgepack.errors import TargetError
from edgepack.target import Platform

_OWN = "template.toml"


class Template(Strict):
    """What a template's `template.toml` says."""

    name: str
    about: str
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    formats: Annotated[tuple[str, ...], Field(min_length=1)]
    """Formats whose runtime the app can use, in no order."""
    language: str
    selftest: str
    """The command that replays the golden vectors, run in the rendered folder."""


@dataclass(frozen=True)
class App:
    """What an app is rendered for."""

    title: str
    model: str
    """Path of the model file in the bundle."""
    format: str
    threads: int
    contract: Contract
    tolerance: float
    """Least cosine between a golden output and the app's."""


def names() -> list[str]:
    """The templates that edgepack ships."""
    return sorted(path.parent.name for path in resources.templates().glob(f"*/{_OWN}"))


def load(name: str) -> Template:
    """The template called `name`. Raises TargetError where there is none."""
    path = resources.templates() / name / _OWN
    if not path.is_file():
        raise TargetError(f"there is no template '{name}': {document.near(name, names())}")
    data = document.read(path, TargetError)
    return document.validate({"name": name, **data}, Template, str(path), TargetError)


def render(name: str, app: App, folder: Path) -> None:
    """Write the template `name` into `folder`, which must not exist."""
    import jinja2

    root = resources.templates() / name
    engine = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    engine.filters["py"] = repr  # a Python literal: quotes and line ends are escaped by Python itself
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if path.is_dir() or place.name == _OWN or "__pycache__" in place.parts:
            continue
        goal = folder / place
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".j2":
            text = engine.from_string(path.read_text(encoding="utf-8")).render(app=app)
            goal.with_suffix("").write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(path, goal)
