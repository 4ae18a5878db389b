"""Literals: a text or a number as the source code of a language, whatever it is spelt with.

Half surrogate pairs, which no UTF-8 file can hold, become U+FFFD, as in every UTF-8 encoder that mends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from unicodedata import category
from xml.sax.saxutils import escape

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that stand in code by number alone: they are not seen there, or turn its direction."""


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kotlin(text: str) -> str:
    """A Kotlin string (Kotlin language specification, String literals): UTF-16 escapes."""
    return f'"{_escaped(_whole(text), {chr(36): chr(92) + chr(36)}, _utf16)}"'


def swift(text: str) -> str:
    """A Swift string (The Swift Programming Language, String Literals): `\\u{…}` escapes."""
    return f'"{_escaped(_whole(text), {}, lambda char: f"{chr(92)}u{{{ord(char):X}}}")}"'


def cpp(text: str) -> str:
    """A C and C++ string of UTF-8 bytes: all but plain ASCII as octal escapes, which end by themselves."""
    plain = {ord("?"): r"\?", ord('"'): r"\"", ord("\\"): r"\\"}  # ??/ would be a trigraph
    shown = (
        plain.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in _whole(text).encode()
    )
    return f'"{"".join(shown)}"'


def toml(text: str) -> str:
    """A TOML basic string (toml.io, String): `\\U…` escapes."""
    return f'"{_escaped(_whole(text), {}, lambda char: f"{chr(92)}U{ord(char):08X}")}"'


def xml(text: str) -> str:
    """Text for an XML element or attribute, without quotes; what XML 1.0 forbids becomes U+FFFD."""
    allowed = "".join(char if _in_xml(ord(char)) else "\N{REPLACEMENT CHARACTER}" for char in _whole(text))
    quotes = {'"': "&quot;", "'": "&apos;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    return escape(allowed, quotes)


def android(text: str) -> str:
    """Text of an Android string resource (developer.android.com, String resources, Handle special
    characters), in quotes, so that its spaces stay; escaped for XML."""
    plain = {"'": r"\'", "@": r"\@", "?": r"\?"}
    return escape(f'"{_escaped(_whole(text), plain, _utf16)}"')


def line(text: str) -> str:
    """`text` on one line, for a comment or a heading: what is not seen becomes a space."""
    return " ".join("".join(" " if category(char) in _HIDDEN else char for char in text).split())


def number(value: float) -> str:
    """The shortest decimal that reads back as the same double; it always has a point or an exponent.

    Raises ValueError where it is not finite, which most languages have no literal for.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no literal")
    return repr(float(value))


def _escaped(text: str, more: dict[str, str], by_number: Callable[[str], str]) -> str:
    plain = {'"': r"\"", "\\": r"\\", **more}
    return "".join(
        plain.get(char) or (by_number(char) if category(char) in _HIDDEN else char) for char in text
    )


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02X}{units[n + 1]:02X}" for n in range(0, len(units), 2))


def _in_xml(code: int) -> bool:
    if code in (0x9, 0xA, 0xD):
        return True
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


FILTERS: dict[str, Callable[..., str]] = {
    "py": repr,  # a Python literal: quotes and line ends are escaped by Python itself
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
"""Filters of templates' `.j2` files, by name."""
