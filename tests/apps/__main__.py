"""`python -m tests.apps`: render every template with every runtime, compile all, run what can run.

Exit code 0 where nothing failed, 1 else.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import edgepack
from edgepack.app import render, template
from edgepack.app.render import Choice
from edgepack.errors import EdgepackError
from edgepack.silence import quiet

from . import Row

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "examples" / "fashion_mnist"
PROFILE = ROOT / "tests" / "data" / "all-formats.toml"
PROVERS = {"c++": "cpp", "kotlin": "kotlin", "python": "python", "swift": "swift"}
"""The module of this package that proves apps of a language."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="edgepack-apps-") as scratch:
        folder = Path(scratch)
        formats = sorted({each for name in template.names() for each in template.load(name).formats})
        print(f"building a bundle: {', '.join(formats)}", file=sys.stderr)
        with quiet():
            edgepack.build(
                str(MODEL),
                targets=[str(PROFILE)],
                formats=formats,
                scheme="w8a8",
                out=str(folder),
                emulator=False,
            )
        rows = []
        for name in template.names():
            for format_name in template.load(name).formats:
                print(f"{name}, {format_name}", file=sys.stderr)
                begun = time.monotonic()
                found = proved(name, format_name, folder / PROFILE.stem, folder / f"{name}-{format_name}")
                rows.append((name, format_name, found, time.monotonic() - begun))
        show(rows)
        return any(row.outcome == "failed" for _, _, found, _ in rows for row in found)


def proved(name: str, format_name: str, bundle: Path, goal: Path) -> list[Row]:
    """What came of one template with one runtime."""
    try:
        render.rendered(
            bundle, goal, Choice(template=name, format=format_name, package="com.example.app"), force=False
        )
    except EdgepackError as cause:
        return [Row("render", "failed", str(cause))]
    prover = importlib.import_module(f"tests.apps.{PROVERS[template.load(name).language.lower()]}")
    rows: list[Row] = prover.prove(goal, bundle)
    return [Row("render", "ok"), *rows]


def show(rows: list[tuple[str, str, list[Row], float]]) -> None:
    table = Table("template", "runtime", "what", "outcome", "detail", "seconds")
    for name, format_name, found, seconds in rows:
        for number, row in enumerate(found):
            told = f"{seconds:.0f}" if number == 0 else ""
            color = {"ok": "green", "failed": "red", "skipped": "yellow"}[row.outcome]
            table.add_row(name, format_name, row.what, f"[{color}]{row.outcome}[/]", row.detail, told)
        table.add_section()
    Console(width=170).print(table)


if __name__ == "__main__":
    sys.exit(main())
