"""App templates: folders of source code that are rendered for a bundle.

Only files that end in `.j2` are Jinja templates. All other files are copied, except that the package name of
the template is replaced by that of the app.
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
from edgepack.contract import Contract, TextInput
from edgepack.contract.expected import Expected
from edgepack.errors import TargetError
from edgepack.scheme import SCHEMES
from edgepack.target import Platform
from edgepack.toml import Strict

if TYPE_CHECKING:
    import jinja2

_MANIFEST = "template.toml"


class Template(Strict):
    """The `template.toml` of a template."""

    name: str
    """The name of the folder."""
    about: str
    """What the app is, in one sentence."""
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    """Platforms that the app runs on."""
    formats: Annotated[tuple[str, ...], Field(min_length=1)]
    """Formats that the app can run, in order of preference."""
    language: str
    """Programming language of the sources."""
    selftest: str
    """Command that replays the golden vectors, to be run in the rendered folder."""
    model: str
    """Folder of the rendered app that holds the model file and `labels.txt`."""
    golden: str
    """Folder of the rendered app that holds the golden vectors."""
    package: str = ""
    """Package name in the sources: one segment for Python, empty for languages without packages."""
    extends: str = ""
    """Template whose files are used too; files of this template override them."""
    only: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By format, patterns of files (relative to the template) that are rendered for that format only."""

    def named(self, text: str, app: App) -> str:
        """`text`, or a path, with the package name of the template replaced by that of the app."""
        if not self.package:
            return text
        package = app.package if "." in self.package else app.module
        text = text.replace(self.package.replace(".", "/"), package.replace(".", "/"))
        return text.replace(self.package, package)


@dataclass(frozen=True)
class App:
    """The variables of a template."""

    name: str
    """Name of the model: any text."""
    title: str
    """Name of the device: any text."""
    slug: str
    """The name in lower case letters, digits and underscores."""
    package: str
    """Package and application id, such as `com.example.net`."""
    file: str
    """Name of the model file."""
    format: str
    scheme: str
    threads: int
    contract: Contract
    tolerance: float
    """Least cosine similarity between a golden output and that of the app."""
    expected: Expected
    versions: Mapping[str, str]
    """Versions of the packages that wrote the model file, by name."""

    @property
    def has_int8_arithmetic(self) -> bool:
        """The model file's layers compute in int8."""
        return SCHEMES[self.scheme].has_int8_arithmetic

    @property
    def is_half(self) -> bool:
        """The model file is in 16-bit floats."""
        return SCHEMES[self.scheme].is_half

    @property
    def reads_text(self) -> bool:
        """The app has a tokenizer for its inputs."""
        return any(isinstance(each, TextInput) and each.tokenizer for each in self.contract.inputs)

    @property
    def module(self) -> str:
        """Name of the Python package: a segment of `package` and `_app`, so that it shadows no other package.

        `net_app` for `com.example.net`, `example_app` for `com.example.app`.
        """
        *before, last = self.package.lower().split(".")
        return f"{before[-1] if last == 'app' else last}_app"

    @property
    def command(self) -> str:
        """Name of the console script, such as `net-app`."""
        return self.module.replace("_", "-")


def names() -> list[str]:
    """Names of the templates that edgepack ships."""
    return sorted(path.parent.name for path in resources.templates().glob(f"*/{_MANIFEST}"))


def load(name: str) -> Template:
    """The template `name`. Raises TargetError if it does not exist."""
    path = resources.templates() / name / _MANIFEST
    if not path.is_file():
        raise TargetError(f"there is no template '{name}': {toml.near(name, names())}")
    data = toml.read(path, TargetError)
    return toml.validate({"name": name, **data}, Template, str(path), TargetError)


def files(name: str, format_name: str) -> dict[str, Path]:
    """The files of a template for a format, by their path in it, `.j2` included."""
    found, manifest = {}, load(name)
    if manifest.extends:
        found.update(files(manifest.extends, format_name))
    root = resources.templates() / name
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_file() and relative != _MANIFEST and "__pycache__" not in path.parts:
            found[relative] = path
    included = manifest.only.get(format_name, ())
    excluded = tuple(
        pattern for key, patterns in manifest.only.items() if key != format_name for pattern in patterns
    )
    return {
        relative: path
        for relative, path in found.items()
        if _matches(relative, included) or not _matches(relative, excluded)
    }


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def render(name: str, app: App, folder: Path) -> None:
    """Render the template `name` into the new folder `folder`, without model file and golden vectors."""
    environment, manifest = _environment(), load(name)
    for relative, path in files(name, app.format).items():
        destination = folder / manifest.named(relative, app)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # an image, such as the icon of an app
            shutil.copyfile(path, destination)
            continue
        text = manifest.named(text, app)
        if destination.suffix == ".j2":
            destination = destination.with_suffix("")
            text = environment.from_string(text).render(app=app)
        destination.write_text(text, encoding="utf-8", newline="")
        destination.chmod(path.stat().st_mode)


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters.update(escaping.FILTERS)
    return environment
