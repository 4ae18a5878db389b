"""Apps: a template rendered for one model file of a bundle, with all that it needs to run alone."""

from __future__ import annotations

import filecmp
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgepack import bundle
from edgepack.app import template
from edgepack.app.template import App, Template
from edgepack.contract import Contract, expected
from edgepack.contract.expected import Expected
from edgepack.errors import BundleError, PlanError
from edgepack.evaluate import checks as judge
from edgepack.formats import contract_metadata
from edgepack.report import Artifact, Report
from edgepack.target import Target

LABELS = "labels.txt"
_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
# Java Language Specification 3.9, and Kotlin's hard keywords (Kotlin grammar, Keywords and operators)
_KEYWORDS = frozenset((
    "abstract", "as", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const",
    "continue", "default", "do", "double", "else", "enum", "extends", "false", "final", "finally",
    "float", "for", "fun", "goto", "if", "implements", "import", "in", "instanceof", "int", "interface",
    "is", "long", "native", "new", "null", "object", "package", "private", "protected", "public",
    "return", "short", "static", "strictfp", "super", "switch", "synchronized", "this", "throw",
    "throws", "transient", "true", "try", "typealias", "typeof", "val", "var", "void", "volatile",
    "when", "while",
))  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What a user asks of an app; empty where the bundle decides."""

    template: str = ""
    format: str = ""
    package: str = ""


@dataclass(frozen=True)
class Change:
    """A file of an app that a new rendering would change."""

    place: str
    what: str
    """`changed`, `new` or `gone`."""


@dataclass(frozen=True)
class Rendered:
    """An app that was rendered."""

    template: str
    file: str
    """The model file that it uses, in the bundle."""
    selftest: str
    proven: bool
    """Whether the file was run by its own runtime when it was built, and passed its checks."""
    changes: tuple[Change, ...]
    """Against what stood in its place; empty where nothing did."""


def check_package(name: str) -> None:
    """Raise PlanError where `name` is no package name for Java, Kotlin and Swift alike."""
    segments = name.split(".")
    if len(segments) < 2:
        raise PlanError(f"--package '{name}' has one part only", hint="write it like com.example.app")
    for each in segments:
        if not _SEGMENT.match(each):
            raise PlanError(
                f"--package '{name}': '{each}' is no name: letters, digits and _, a letter first",
                hint="write it like com.example.app",
            )
        if each in _KEYWORDS:
            raise PlanError(f"--package '{name}': '{each}' is a keyword of Java or Kotlin")


def slug(name: str) -> str:
    """`name` in small letters, digits and underscores, a letter first, and no keyword."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not found or not found[0].isalpha() or found in _KEYWORDS:
        found = f"model_{found}".strip("_")
    return found[:64].rstrip("_")


def usable(found: Template, artifacts: tuple[Artifact, ...], format_name: str = "") -> Artifact | None:
    """The first file that a template can run and that failed no check; None where there is none.

    It may be one that its own runtime did not run here: Core ML runs on macOS only, and the verdict of its
    files is `evaluated`, or `skipped` where no evaluator ran them, either.
    """
    wanted = (format_name,) if format_name else found.formats
    return next((each for each in artifacts if each.format in wanted and each.verdict != "fail"), None)


def write(
    folder: Path, goal: Path, artifact: Artifact, target: Target, contract: Contract, choice: Choice
) -> str:
    """Render `choice.template` for a file of the bundle in `folder` into `goal`, which must not exist; the
    command that tests it, there."""
    found = template.load(choice.template)
    name = Path(artifact.file).stem.removesuffix(f"-{artifact.scheme}")
    made = App(
        name=name,
        title=target.title,
        slug=slug(name),
        package=choice.package or f"com.example.{slug(name)}",
        file=Path(artifact.file).name,
        format=artifact.format,
        scheme=artifact.scheme,
        threads=target.threads,
        contract=contract_metadata.left(contract, artifact.activation),
        tolerance=judge.REPEATS[artifact.scheme],
        expected=expected.read(folder) if (folder / expected.FILE).is_file() else Expected(),
        versions=bundle.versions(),
    )
    template.render(found.name, made, goal)
    _place_model(folder / artifact.file, goal / found.named(found.model, made), contract)
    _place_golden(folder / bundle.GOLDEN, goal / found.named(found.golden, made), made.file)
    return found.named(found.selftest, made)


def _place_model(path: Path, folder: Path, contract: Contract) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if path.is_dir() else shutil.copyfile
    copy(path, folder / path.name)
    for each in sorted(path.parent.glob(f"{path.name}.data")):  # the weights of a large ONNX file
        shutil.copyfile(each, folder / each.name)
    lines = "".join(f"{on_one_line(each)}\n" for each in contract.labels)
    (folder / LABELS).write_text(lines, encoding="utf-8", newline="", errors="replace")


def on_one_line(label: str) -> str:
    """A label as it stands in `labels.txt`."""
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _place_golden(golden: Path, folder: Path, file: str) -> None:
    """The golden vectors that bear on one file, the file's own under the name `host`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(golden.glob("*.npy")):
        name = path.name.replace(f"{file}.outputs_", "host_")
        if re.match(r"(inputs|outputs|host)_\d+\.npy\Z|picture(_tensor)?\.npy\Z", name):
            shutil.copyfile(path, folder / name)


def rendered(folder: Path, out: Path, choice: Choice, *, force: bool) -> Rendered:
    """Render an app of the bundle in `folder` into `out`.

    Raises BundleError where the bundle has no file for it, or where `out` holds other files than those
    that would be written and `force` is not given; PlanError where the choice does not hold together.
    """
    report, target, contract = bundle.open_bundle(folder)
    settled, artifact = _settled(report, target, choice)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".edgepack-", dir=out.parent) as scratch:
        made = Path(scratch) / "app"
        selftest = write(folder, made, artifact, target, contract, settled)
        changes = compared(out, made) if out.exists() else ()
        if changes and not force and not _untouched(folder, out):
            told = ", ".join(f"{each.place} ({each.what})" for each in changes[:_SHOWN])
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise BundleError(
                f"{out} is not as it would be rendered: {told}{more}",
                hint="--force replaces it; or give --out",
            )
        bundle.put(made, out)
    if out == folder / bundle.APP:
        bundle.record_app(folder, artifact.file)
    return Rendered(settled.template, artifact.file, selftest, artifact.verdict == "pass", changes)


def _untouched(folder: Path, out: Path) -> bool:
    """Whether the app is the bundle's own, as it was built."""
    places = {f"{bundle.APP}/{place}" for place in _places(out)}
    inside = out == folder / bundle.APP and places <= bundle.listed(folder)
    return inside and not any(each.startswith(f"{bundle.APP}/") for each in bundle.damage(folder))


_SHOWN = 8


def _settled(report: Report, target: Target, choice: Choice) -> tuple[Choice, Artifact]:
    name = choice.template or target.template
    if not name:
        raise PlanError(f"{target.name} has no app template of its own", hint="give --template NAME")
    found = template.load(name)
    if choice.package:
        check_package(choice.package)
    if choice.format and choice.format not in found.formats:
        raise PlanError(f"{name} has no runtime for {choice.format}: it has {', '.join(found.formats)}")
    artifact = usable(found, report.artifacts, choice.format)
    if artifact is None:
        wanted = choice.format or " or ".join(found.formats)
        raise BundleError(f"the bundle has no {wanted} file without a failed check, which {name} could run")
    return Choice(name, artifact.format, choice.package), artifact


def compared(old: Path, new: Path) -> tuple[Change, ...]:
    """How the files of `new` differ from those that stand in `old`."""
    before, after = _places(old), _places(new)
    told = [Change(place, "new") for place in after - before]
    told += [Change(place, "gone") for place in before - after]
    for place in before & after:
        if not filecmp.cmp(old / place, new / place, shallow=False):
            told.append(Change(place, "changed"))
    return tuple(sorted(told, key=lambda each: (_LOSS.index(each.what), each.place)))


_LOSS = ("gone", "changed", "new")
"""From what loses most of a user's work to what loses none."""


def _places(folder: Path) -> set[str]:
    """The files of an app, by their place in it, but for the byte code that running it leaves there."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}
