"""Templates: folders of app code, rendered with a bundle's contract.

Only files that end in `.j2` have holes; all others are copied as they are, but for the package that a
template's sources are written in, which becomes the app's own.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgepack import resources, toml
from edgepack.app import escaping
from edgepack.contract import Contract
from edgepack.contract.expected import Expected
from edgepack.errors import TargetError
from edgepack.target import Platform
from edgepack.toml import Strict

if TYPE_CHECKING:
    import jinja2

_OWN = "template.toml"


class Template(Strict):
    """What a template's `template.toml` says."""

    name: str
    """The name of the folder."""
    about: str
    """What the app is, in one sentence."""
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    """Platforms that the app runs on."""
    formats: Annotated[tuple[str, ...], Field(min_length=1)]
    """Formats whose runtime the app can use, the preferred first."""
    language: str
    """Programming language of the sources."""
    selftest: str
    """The command that replays the golden vectors, run in the rendered folder."""
    model: str
    """Folder of the rendered app that holds the model file and `labels.txt`."""
    golden: str
    """Folder of the rendered app that holds the golden vectors."""
    package: str = ""
    """Package that the sources are written in, of one part in Python; empty where the language has none."""
    extends: str = ""
    """Template whose files come first; own files take the place of its."""
    only: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Files (patterns, relative to the template) that go with one format alone, by format."""

    def named(self, text: str, app: App) -> str:
        """`text`, or a path, with the package that the sources are written in become the app's own."""
        if not self.package:
            return text
        own = app.package if "." in self.package else app.module
        text = text.replace(self.package.replace(".", "/"), own.replace(".", "/"))
        return text.replace(self.package, own)


@dataclass(frozen=True)
class App:
    """What an app is rendered for."""

    name: str
    """What the model is called: any text."""
    title: str
    """The device: any text."""
    slug: str
    """The name in small letters, digits and underscores."""
    package: str
    """`com.example.net`: of the app's code, and what a store knows it by."""
    file: str
    """Name of the model file."""
    format: str
    scheme: str
    threads: int
    contract: Contract
    tolerance: float
    """Least cosine between a golden output and the app's."""
    expected: Expected
    versions: Mapping[str, str]
    """Of the packages that made the model file, by name."""

    @property
    def module(self) -> str:
        """The package's last part as a Python package, which `_app` keeps from hiding another: `net_app` of
        `com.example.net`, `example_app` of `com.example.app`."""
        *before, last = self.package.lower().split(".")
        return f"{before[-1] if last == 'app' else last}_app"

    @property
    def command(self) -> str:
        """What the app is called on a command line: `net-app`."""
        return self.module.replace("_", "-")


def names() -> list[str]:
    """The templates that edgepack ships."""
    return sorted(path.parent.name for path in resources.templates().glob(f"*/{_OWN}"))


def load(name: str) -> Template:
    """The template called `name`. Raises TargetError where there is none."""
    path = resources.templates() / name / _OWN
    if not path.is_file():
        raise TargetError(f"there is no template '{name}': {toml.near(name, names())}")
    data = toml.read(path, TargetError)
    return toml.validate({"name": name, **data}, Template, str(path), TargetError)


def files(name: str, format_name: str) -> dict[str, Path]:
    """The files of a template that go with a format, by their place in it, `.j2` included."""
    found, own = {}, load(name)
    if own.extends:
        found.update(files(own.extends, format_name))
    root = resources.templates() / name
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        if path.is_file() and place != _OWN and "__pycache__" not in path.parts:
            found[place] = path
    others = [pattern for key, patterns in own.only.items() if key != format_name for pattern in patterns]
    mine = own.only.get(format_name, ())
    return {
        place: path
        for place, path in found.items()
        if _among(place, mine) or not _among(place, tuple(others))
    }


def _among(place: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(place, pattern) for pattern in patterns)


def render(name: str, app: App, folder: Path) -> None:
    """Write the template `name` into `folder`, which must not exist, without model and golden vectors."""
    engine, own = _engine(), load(name)
    for place, path in files(name, app.format).items():
        goal = folder / own.named(place, app)
        goal.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture, such as an app's icon
            shutil.copyfile(path, goal)
            continue
        text = own.named(text, app)
        if goal.suffix == ".j2":
            goal, text = goal.with_suffix(""), engine.from_string(text).render(app=app)
        goal.write_text(text, encoding="utf-8", newline="")
        goal.chmod(path.stat().st_mode)


def _engine() -> jinja2.Environment:
    import jinja2

    engine = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    engine.filters.update(escaping.FILTERS)
    return engine
