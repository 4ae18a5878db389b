"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty cell stays empty, and line breaks become spaces."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """`text` as code."""
    return f"`{text}`" if text else ""


def codes(names: Iterable[str]) -> str:
    """Several names as code, with commas."""
    return ", ".join(code(name) for name in names)


def fence(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def sentence(text: str) -> str:
    """`text` with a capital at the beginning and a full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    first = text if text.startswith("`") else text[0].upper() + text[1:]
    return first if first.endswith((".", "?", "!")) else first + "."
