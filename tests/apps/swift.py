"""Proof of the iOS apps: compiled by Swift's own compiler, in Swift 6 mode with warnings as errors, against
stubs of Apple's frameworks and of the runtimes; their unit tests, pre- and post-processing run on Linux, and
project files parsed.

No compiler for Apple's systems and none of their frameworks can be had here.
"""

from __future__ import annotations

import plistlib
import re
import tempfile
from pathlib import Path

import numpy as np

from edgepack import bundle, formats
from edgepack.arrays import Array
from edgepack.contract.preprocess import read_image
from edgepack.errors import EdgepackError
from edgepack.silence import captured

from . import Row, of, swiftc
from .cases import PICTURES, Case, called, differing, pictures
from .swiftc import OWN, Tools

KIT = "ModelKit/Sources/ModelKit"
GOLDEN = "ModelKit/Tests/ModelKitTests"


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app, whose bundle lies in `folder`."""
    rows = parsed(app)
    what = "compile, warnings as errors"
    if reason := swiftc.absent():
        return [*rows, Row(what, "skipped", reason)]
    try:
        made = swiftc.tools()
    except EdgepackError as cause:
        return [*rows, Row(what, "skipped", str(cause))]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if said := built(app, made, out):
            return [*rows, Row(what, "failed", said)]
        rows.append(Row(what, "ok", f"{made.about}; Apple's frameworks and the runtime are stubs"))
        if made.compiler is None:
            return [
                *rows,
                Row("unit tests, on Linux", "skipped", "programs of the PATH's swiftc are not linked"),
            ]
        return [*rows, _tested(app, made, out), *_driven(app, folder, made, out)]


def parsed(app: Path) -> list[Row]:
    """What needs no compiler."""
    sources = sorted(app.rglob("*.swift"))
    problems = [
        f"{path.relative_to(app)}: {found}" for path in sources if (found := problem(path.read_bytes()))
    ]
    return [of("Swift, parsed", problems, f"{len(sources)} files"), _project(app), _lists(app)]


def built(app: Path, made: Tools, out: Path) -> str:
    """Compile the package, then the app and the tests against it; what went wrong, or empty."""
    if said := made.compiled("ModelKit", sorted((app / KIT).glob("*.swift")), out):
        return said
    screens = out / "App"
    screens.mkdir()
    for path in sorted((app / "App").glob("*.swift")):
        # the macro that shows a view in Xcode comes with Xcode
        text = re.sub(r"^#Preview .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (screens / path.name).write_text(text, encoding="utf-8")
    if said := made.compiled("App", sorted(screens.glob("*.swift")), out):
        return said
    tests = sorted((app / GOLDEN).glob("*.swift"))
    listed = out / "UnitTests.swift"
    listed.write_text(_listed(tests), encoding="utf-8")
    return made.compiled("ModelKitTests", [*tests, listed, OWN / "Driver.swift"], out)


def _listed(tests: list[Path]) -> str:
    """The unit tests by name, which XCTest finds by itself on Apple's systems alone."""
    entries = []
    for path in tests:
        text = path.read_text(encoding="utf-8")
        found = re.search(r"class (\w+): XCTestCase", text)
        names = re.findall(r"func (test\w+)\(\) ((?:throws )?)\{", text)  # one that is async needs the model
        if found:
            pairs = ", ".join(
                f'("{name}", {{ test in {{ {"try " if throws else ""}test.{name}() }} }})'
                for name, throws in names
            )
            entries.append(f"        testCase([{pairs}] as [(String, ({found[1]}) -> () throws -> Void)]),\n")
    body = "".join(entries)
    return f"import XCTest\n\nfunc unitTests() -> [XCTestCaseEntry] {{\n    [\n{body}    ]\n}}\n"


def driver(made: Tools, out: Path) -> Path:
    """The program that tests drive, linked."""
    program = out / "driver"
    if not program.exists():
        said = made.linked([out / "ModelKit.o", out / "ModelKitTests.o"], program)
        assert not said, said
    return program


def driven(made: Tools, out: Path, lines: list[list[object]], resources: Path | None = None) -> str:
    """What the driver said to lines of words."""
    text = "".join("\t".join(map(str, words)) + "\n" for words in lines)
    ended = made.run(driver(made, out), text, resources)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _tested(app: Path, made: Tools, out: Path) -> Row:
    ended = made.run(driver(made, out), resources=app / GOLDEN, words=("tests",))
    said = [each.strip() for each in (ended.stdout + ended.stderr).splitlines()]
    wrong = [each for each in said if ": error:" in each]
    told = [each for each in said if re.match(r"Executed [1-9]", each)]
    fine = not ended.returncode and told and not wrong
    return Row(
        "unit tests, on Linux", "ok" if fine else "failed", (wrong[:1] or told[-1:] or said[-1:] or [""])[0]
    )


def _driven(app: Path, folder: Path, made: Tools, out: Path) -> list[Row]:
    """Pre-processing against the reference; labels of real pictures, by pre-processing in Swift, the model
    file in Python, and post-processing in Swift again."""
    image = bundle.open_bundle(folder)[2].image
    assert image is not None
    odd, real = pictures(out), sorted(PICTURES.glob("*.png"))
    every = [Case(path, image) for path in (*odd, *real)]
    lines: list[list[object]] = []
    for number, case in enumerate(every):
        np.save(out / f"{number}.npy", read_image(case.picture, image.channels))
        lines.append(["picture", out / f"{number}.npy", 1, out / f"{number}.bin"])
    driven(made, out, lines)
    rows = [
        of("pre-processing, on Linux", differing(every, out), f"{len(every)} pictures, the reference's bits")
    ]
    tensors = [np.fromfile(out / f"{len(odd) + n}.bin", every[0].wanted.dtype) for n in range(len(real))]
    labels = _labels(app, folder, made, out, [each.reshape(every[0].wanted.shape) for each in tensors])
    lost = [path.stem for path, label in zip(real, labels, strict=True) if path.stem != called(label)]
    return [
        *rows,
        of("labels of real pictures", lost, "all as their file names say (the model ran in Python)"),
    ]


def _labels(app: Path, folder: Path, made: Tools, out: Path, tensors: list[Array]) -> list[str]:
    """The best label of each tensor: the model file runs in Python, its outputs are read in Swift."""
    report, _, contract = bundle.open_bundle(folder)
    assets = app / KIT / "Assets"
    artifact = next(each for each in report.artifacts if (assets / Path(each.file).name).exists())
    lines: list[list[object]] = []
    with (out / "runtime.log").open("wb") as log, captured(log):
        run = formats.load(artifact.format).load(folder / artifact.file)
        for number, tensor in enumerate(tensors):
            np.save(out / f"answer{number}.npy", run((tensor,))[0])
            lines.append(["classes", out / f"answer{number}.npy", assets / "labels.txt"])
    said = driven(made, out, lines).splitlines()
    return [line.split("\t")[2] for line in said[:: len(contract.labels)]]


def problem(source: bytes) -> str:
    """Where Swift does not parse; empty where it does."""
    import tree_sitter_swift
    from tree_sitter import Language, Node, Parser

    def first(node: Node) -> Node | None:
        if node.is_error or node.is_missing:
            return node
        return next((found for each in node.children if each.has_error and (found := first(each))), None)

    root = Parser(Language(tree_sitter_swift.language())).parse(source).root_node
    found = first(root) if root.has_error else None
    if found is None:
        return "does not parse" if root.has_error else ""
    line = source.splitlines()[found.start_point[0]].decode(errors="replace").strip()
    return f"line {found.start_point[0] + 1} does not parse: {line}"


def _project(app: Path) -> Row:
    """Whether the project file can be read, and each object that it names is there."""
    from pbxproj import XcodeProject

    path = app / "App.xcodeproj" / "project.pbxproj"
    project = XcodeProject.load(str(path))
    known = {
        each.get_id() for each in project.objects.get_objects_in_section(*project.objects.get_sections())
    }
    named = set(re.findall(r"\b[0-9A-F]{24}\b", path.read_text(encoding="utf-8")))
    folders = [
        each.path for each in project.objects.get_objects_in_section("PBXFileSystemSynchronizedRootGroup")
    ]
    folders += [
        each.relativePath for each in project.objects.get_objects_in_section("XCLocalSwiftPackageReference")
    ]
    problems = [f"{each} is nowhere" for each in sorted(named - known)]
    problems += [f"there is no folder {each}" for each in folders if not (app / each).is_dir()]
    problems += [] if len(folders) == 2 else [f"{len(folders)} folders, not the app's and the package's"]
    return of("Xcode project, parsed", problems, f"{len(known)} objects, all that are named")


def _lists(app: Path) -> Row:
    manifests = sorted(app.rglob("*.xcprivacy"))
    wanted = {"NSPrivacyTracking", "NSPrivacyTrackingDomains", "NSPrivacyCollectedDataTypes"}
    wanted |= {"NSPrivacyAccessedAPITypes"}
    wrong = [
        str(path.relative_to(app)) for path in manifests if wanted != set(plistlib.loads(path.read_bytes()))
    ]
    wrong += [] if len(manifests) == 2 else [f"{len(manifests)} manifests, not the app's and the package's"]
    return of("privacy manifests, parsed", wrong, "2 files")
