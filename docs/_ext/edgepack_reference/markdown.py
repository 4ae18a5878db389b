"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without the columns that are empty in every row; line breaks in cells become spaces."""
    body = [list(row) for row in rows]
    kept = [n for n in range(len(header)) if any(row[n] for row in body)]
    lines = [list(header), ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(_cell(line[n]) for n in kept) + " |" for line in lines) + "\n"


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
    """A phrase as a sentence: a capital, unless it begins with a value, and a full stop."""
    text = text.strip()
    if not text or text.endswith((".", "?", "!")):
        return text
    word = text.split()[0]
    return (text[0].upper() + text[1:] if word.rstrip(",;").isalpha() else text) + "."
