"""Write text and numbers as literals of a language: user text must never become code.

Unpaired surrogates, which UTF-8 cannot encode, are replaced by U+FFFD.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from unicodedata import category
from xml.sax.saxutils import escape

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are always escaped: invisible characters, and those that change text direction."""


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kotlin(text: str) -> str:
    """A Kotlin string (Kotlin language specification, String literals): UTF-16 escapes."""
    return f'"{_escaped(_without_surrogates(text), {chr(36): chr(92) + chr(36)}, _utf16)}"'


def swift(text: str) -> str:
    """A Swift string (The Swift Programming Language, String Literals): `\\u{…}` escapes."""
    return f'"{_escaped(_without_surrogates(text), {}, lambda char: f"{chr(92)}u{{{ord(char):X}}}")}"'


def cpp(text: str) -> str:
    """A C or C++ string of UTF-8 bytes. Bytes outside printable ASCII are octal escapes of three digits, so
    that a digit that follows does not extend them."""
    special = {ord("?"): r"\?", ord('"'): r"\"", ord("\\"): r"\\"}  # ??/ would be a trigraph
    escaped = (
        special.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in _without_surrogates(text).encode()
    )
    return f'"{"".join(escaped)}"'


def toml(text: str) -> str:
    """A TOML basic string (toml.io, String): `\\U…` escapes."""
    return f'"{_escaped(_without_surrogates(text), {}, lambda char: f"{chr(92)}U{ord(char):08X}")}"'


def xml(text: str) -> str:
    """Text for an XML element or attribute, without quotes. Characters that XML 1.0 forbids become U+FFFD."""
    plain = _without_surrogates(text)
    allowed = "".join(char if _in_xml(ord(char)) else "\N{REPLACEMENT CHARACTER}" for char in plain)
    quotes = {'"': "&quot;", "'": "&apos;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    return escape(allowed, quotes)


def android(text: str) -> str:
    """An Android string resource (developer.android.com, String resources, "Handle special characters"):
    in quotes, which preserve white space, and escaped for XML."""
    special = {"'": r"\'", "@": r"\@", "?": r"\?"}
    return escape(f'"{_escaped(_without_surrogates(text), special, _utf16)}"')


def line(text: str) -> str:
    """`text` on one line, for a comment or a heading. Invisible characters become spaces."""
    return " ".join("".join(" " if category(char) in _HIDDEN else char for char in text).split())


def number(value: float) -> str:
    """The shortest decimal that parses to the same double, always with a point or an exponent.

    Raises ValueError for NaN and infinity, which have no literal in most languages.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no literal")
    return repr(float(value))


def _escaped(text: str, special: dict[str, str], code_point: Callable[[str], str]) -> str:
    """`text` with quotes, backslashes and `special` escaped, and invisible characters as `code_point`s."""
    escapes = {'"': r"\"", "\\": r"\\", **special}
    return "".join(
        escapes.get(char) or (code_point(char) if category(char) in _HIDDEN else char) for char in text
    )


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02X}{units[n + 1]:02X}" for n in range(0, len(units), 2))


def _in_xml(code: int) -> bool:
    if code in (0x9, 0xA, 0xD):
        return True
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


FILTERS: dict[str, Callable[..., str]] = {
    "py": repr,
    "json": lambda value: json.dumps(value),
    "kotlin": kotlin,
    "swift": swift,
    "android": android,
    "cpp": cpp,
    "toml": toml,
    "xml": xml,
    "line": line,
    "number": number,
}
"""Jinja filters for the `.j2` files of templates, by name."""
