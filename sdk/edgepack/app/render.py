"""Render app projects: a template, one model file of a bundle, its labels and its golden vectors."""

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
from edgepack.contract import Contract, expected, texts
from edgepack.contract.expected import Expected
from edgepack.errors import BundleError, PlanError
from edgepack.evaluate import checks
from edgepack.formats import contract_metadata
from edgepack.report import Artifact, Report
from edgepack.target import Target

LABELS = "labels.txt"
_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
# Java Language Specification, section 3.9, and hard keywords of Kotlin (Kotlin grammar)
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
    """Options of an app; an empty one follows from the bundle."""

    template: str = ""
    format: str = ""
    package: str = ""


@dataclass(frozen=True)
class Change:
    """A file of an existing app that differs from the rendered one."""

    place: str
    what: str
    """`changed`, `new` or `gone`."""


@dataclass(frozen=True)
class Rendered:
    """A rendered app."""

    template: str
    file: str
    """Its model file, relative to the bundle."""
    selftest: str
    """Command that replays the golden vectors, to be run in the folder of the app."""
    proven: bool
    """Whether the build ran the model file in its own runtime and all checks passed."""
    changes: tuple[Change, ...]
    """Differences from the app that was there before; empty if there was none."""


def check_package(name: str) -> None:
    """Raise PlanError if `name` is not a valid package name in Java, Kotlin and Swift."""
    segments = name.split(".")
    if len(segments) < 2:
        raise PlanError(f"--package '{name}' has one segment only", hint="an example is com.example.app")
    for segment in segments:
        if not _SEGMENT.match(segment):
            raise PlanError(
                f"--package '{name}': '{segment}' is not a letter followed by letters, digits and _",
                hint="an example is com.example.app",
            )
        if segment in _KEYWORDS:
            raise PlanError(f"--package '{name}': '{segment}' is a keyword of Java or Kotlin")


def slug(name: str) -> str:
    """`name` as an identifier: lower case letters, digits and underscores, a letter first, not a keyword."""
    identifier = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not identifier or not identifier[0].isalpha() or identifier in _KEYWORDS:
        identifier = f"model_{identifier}".strip("_")
    return identifier[:64].rstrip("_")


def usable(chosen: Template, artifacts: tuple[Artifact, ...], format_name: str = "") -> Artifact | None:
    """The first model file that a template can run and that failed no check, or None.

    Files that this host cannot run in their own runtime, such as Core ML packages, count too.
    """
    accepted = (format_name,) if format_name else chosen.formats
    candidates = (artifact for artifact in artifacts if artifact.format in accepted)
    return next((artifact for artifact in candidates if artifact.verdict != "fail"), None)


def write(
    folder: Path, out: Path, artifact: Artifact, target: Target, contract: Contract, choice: Choice
) -> str:
    """Render `choice.template` for a model file of the bundle in `folder` into `out`, which must not exist.

    Returns the command that tests the app in `out`.
    """
    chosen = template.load(choice.template)
    name = Path(artifact.file).stem.removesuffix(f"-{artifact.scheme}")
    app = App(
        name=name,
        title=target.title,
        slug=slug(name),
        package=choice.package or f"com.example.{slug(name)}",
        file=Path(artifact.file).name,
        format=artifact.format,
        scheme=artifact.scheme,
        threads=target.threads,
        contract=contract_metadata.left(contract, artifact.activation),
        tolerance=checks.REPEATS[artifact.scheme],
        expected=expected.read(folder) if (folder / expected.FILE).is_file() else Expected(),
        versions=bundle.versions(),
    )
    template.render(chosen.name, app, out)
    _copy_model(folder / artifact.file, out / chosen.named(chosen.model, app), contract)
    if (folder / texts.TOKENIZER).is_file():
        shutil.copyfile(folder / texts.TOKENIZER, out / chosen.named(chosen.model, app) / texts.TOKENIZER)
    _copy_golden(folder / bundle.GOLDEN, out / chosen.named(chosen.golden, app), app.file)
    return chosen.named(chosen.selftest, app)


def _copy_model(path: Path, folder: Path, contract: Contract) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if path.is_dir() else shutil.copyfile
    copy(path, folder / path.name)
    for weights in sorted(path.parent.glob(f"{path.name}.data")):  # external weights of a large ONNX file
        shutil.copyfile(weights, folder / weights.name)
    lines = "".join(f"{on_one_line(label)}\n" for label in contract.labels)
    (folder / LABELS).write_text(lines, encoding="utf-8", newline="", errors="replace")


def on_one_line(label: str) -> str:
    """A label as a line of `labels.txt`: line ends and backslashes are escaped."""
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _copy_golden(golden: Path, folder: Path, file: str) -> None:
    """Copy the golden vectors of one model file; its own outputs are renamed to `host_*.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(golden.glob("*.npy")):
        name = path.name.replace(f"{file}.outputs_", "host_")
        if re.match(r"(inputs|outputs|host)_\d+\.npy\Z|picture(_tensor)?\.npy\Z", name):
            shutil.copyfile(path, folder / name)


def rendered(folder: Path, out: Path, choice: Choice, *, force: bool) -> Rendered:
    """Render an app of the bundle in `folder` into `out`.

    Raises BundleError if the bundle has no suitable model file, or if `out` has files that the app would
    change and `force` is false; PlanError if the options contradict each other.
    """
    report, target, contract = bundle.open_bundle(folder)
    resolved, artifact = _resolve(report, target, choice)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".edgepack-", dir=out.parent) as scratch:
        app = Path(scratch) / "app"
        selftest = write(folder, app, artifact, target, contract, resolved)
        changes = compared(out, app) if out.exists() else ()
        if changes and not force and not _is_unmodified(folder, out):
            listed = ", ".join(f"{change.place} ({change.what})" for change in changes[:_LISTED])
            more = f" and {len(changes) - _LISTED} more" if len(changes) > _LISTED else ""
            raise BundleError(
                f"{out} has files that the rendered app would change: {listed}{more}",
                hint="use --force to replace them, or --out to render elsewhere",
            )
        bundle.put(app, out)
    if out == folder / bundle.APP:
        bundle.record_app(folder, artifact.file)
    return Rendered(resolved.template, artifact.file, selftest, artifact.verdict == "pass", changes)


def _is_unmodified(folder: Path, out: Path) -> bool:
    """Whether `out` is the app of the bundle, without changes since the build."""
    files = {f"{bundle.APP}/{file}" for file in _files(out)}
    inside = out == folder / bundle.APP and files <= bundle.listed(folder)
    return inside and not any(file.startswith(f"{bundle.APP}/") for file in bundle.damage(folder))


_LISTED = 8
"""Changed files in an error message."""


def _resolve(report: Report, target: Target, choice: Choice) -> tuple[Choice, Artifact]:
    name = choice.template or target.template
    if not name:
        raise PlanError(f"{target.name} has no app template", hint="choose one with --template NAME")
    chosen = template.load(name)
    if choice.package:
        check_package(choice.package)
    if choice.format and choice.format not in chosen.formats:
        raise PlanError(f"{name} has no runtime for {choice.format}: it has {', '.join(chosen.formats)}")
    artifact = usable(chosen, report.artifacts, choice.format)
    if artifact is None:
        accepted = choice.format or " or ".join(chosen.formats)
        raise BundleError(f"the bundle has no {accepted} file without a failed check, which {name} needs")
    return Choice(name, artifact.format, choice.package), artifact


def compared(old: Path, new: Path) -> tuple[Change, ...]:
    """Differences of the folder `new` from `old`: those that lose a user's work come first."""
    before, after = _files(old), _files(new)
    changes = [Change(file, "new") for file in after - before]
    changes += [Change(file, "gone") for file in before - after]
    for file in before & after:
        if not filecmp.cmp(old / file, new / file, shallow=False):
            changes.append(Change(file, "changed"))
    return tuple(sorted(changes, key=lambda change: (_BY_LOSS.index(change.what), change.place)))


_BY_LOSS = ("gone", "changed", "new")


def _files(folder: Path) -> set[str]:
    """Relative paths of the files in `folder`, without byte code of Python."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}
