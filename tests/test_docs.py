"""The documentation: its links lead somewhere, its commands parse, and every page is in the navigation.

`make docs` builds the pages; it finds broken references between them.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main
from conftest import ROOT

from edgepack.cli import app

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
WRITTEN = [
    *PAGES,
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "sdk/edgepack/contract/CONTRACT.md")
    ),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> list[str]:
    """The contents of the code blocks of a page that are of one of the languages."""
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [text for language, text in found if language.strip() in languages]


def lines(path: Path) -> list[list[str]]:
    """The commands of a page's code blocks as arguments, without comments."""
    text = "\n".join(blocks(path, "", "text", "sh")).replace("\\\n", " ")
    commands = [line.removeprefix("$ ").partition(" > ")[0] for line in text.splitlines()]
    return [
        shlex.split(line, comments=True)
        for line in commands
        if line.startswith(("edgepack ", "make ", "python -m benchmarks"))
    ]


def parse(command: Any, arguments: list[str], name: str) -> None:
    """Parse a command line as `edgepack` does, without running it. Raises Click's UsageError."""
    children = getattr(command, "commands", {})
    if children and arguments and arguments[0] in children:
        parse(children[arguments[0]], arguments[1:], f"{name} {arguments[0]}")
    else:
        command.make_context(name, arguments)


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_links_to_files_lead_to_files(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    missing = [target for target in targets if target and not (path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_commands_of_edgepack_parse(path: Path) -> None:
    group = typer.main.get_command(app)
    for arguments in lines(path):
        if arguments[0] == "edgepack":
            parse(group, arguments[1:], "edgepack")


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_targets_of_make_exist(path: Path) -> None:
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [arguments[1] for arguments in lines(path) if arguments[0] == "make"]
    assert set(wanted) <= set(rules)


def test_the_readme_has_the_two_commands_and_a_build() -> None:
    commands = [" ".join(arguments[:2]) for arguments in lines(ROOT / "README.md")]
    assert {"make demo", "make test", "edgepack build"} <= set(commands)


def test_every_page_is_in_one_toctree() -> None:
    listed: Counter[Path] = Counter()
    for path in PAGES:
        for tree in blocks(path, "{toctree}"):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed.update(path.parent / f"{entry}.md" for entry in entries)
    assert dict(listed) == dict.fromkeys(set(PAGES) - {DOCS / "index.md"}, 1)


def test_the_architecture_page_names_every_room_and_no_other() -> None:
    (tree,) = (block for block in blocks(DOCS / "architecture.md", "") if block.startswith("sdk/edgepack/"))
    inside = tree.partition("targets/")[0].removeprefix("sdk/edgepack/")
    named = set(re.findall(r"^  (\w+/|[\w. ]+\.py\b(?: \w+\.py)*)", inside, re.MULTILINE))
    rooms = {room.strip("/") for entry in named for room in entry.split()}
    package = ROOT / "sdk" / "edgepack"
    found = {
        path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms == found


def test_the_architecture_page_names_the_file_of_every_method() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("### Methods by file")[2].partition("\n## ")[0]
    files = {path.name for path in (ROOT / "sdk" / "edgepack" / "compress").glob("*.py")}
    assert sorted(re.findall(r"`(\w+\.py)`", section)) == sorted(files - {"__init__.py"})
