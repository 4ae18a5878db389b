"""Proof of the iOS apps: syntax only. No Swift compiler for Apple's systems can be had on Linux.

Where `swiftc` is on the PATH, what needs no framework of Apple's is type-checked as well.
"""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
from pathlib import Path

from tests.apps import Row, of

PURE = (
    "Contract",
    "ContractTypes",
    "Tensor",
    "Picture",
    "Resample",
    "Preprocessor",
    "Postprocessor",
    "Labels",
)
"""Sources of ModelKit that stand on Swift and Foundation alone."""


def prove(app: Path, folder: Path) -> list[Row]:
    """What came of a rendered app."""
    sources = sorted(app.rglob("*.swift"))
    problems = [
        f"{path.relative_to(app)}: {found}" for path in sources if (found := problem(path.read_bytes()))
    ]
    return [
        of("Swift, syntax only", problems, f"{len(sources)} files"),
        _project(app),
        _lists(app),
        _typed(app),
    ]


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


def _typed(app: Path) -> Row:
    what = "types of what needs no framework (swiftc)"
    if not shutil.which("swiftc"):
        return Row(what, "skipped", "swiftc is not installed")
    sources = [str(app / f"ModelKit/Sources/ModelKit/{name}.swift") for name in PURE]
    line = ["swiftc", "-typecheck", "-swift-version", "6", "-warnings-as-errors", *sources]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    return of(
        what, ended.stderr.splitlines()[:1] or ["no word"] if ended.returncode else [], f"{len(PURE)} files"
    )
