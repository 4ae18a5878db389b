"""Results derived from a captured model that are expensive to compute again."""

from __future__ import annotations

from typing import TypeVar

from torch.export import ExportedProgram

Value = TypeVar("Value")


class DerivedCache:
    """Float exports and conversions of one source, kept for all recipes and targets of a build.

    Copies of a source that differ in their weights only share one cache, so a key must name everything else
    that the value depends on. A value that depends on the weights is stored with the program that it was made
    from. A source that is captured again has a new cache.
    """

    def __init__(self) -> None:
        self.entries: dict[str, tuple[object, ExportedProgram | None]] = {}
        """Values by their key, each with the program that it is valid for, or None for all."""

    def get(self, key: str, kind: type[Value], program: ExportedProgram | None = None) -> Value | None:
        """The value of `key` for `program` (or, if None, for all programs), if it exists and is a `kind`."""
        value, made_from = self.entries.get(key, (None, None))
        return value if isinstance(value, kind) and made_from is program else None

    def put(self, key: str, value: object, program: ExportedProgram | None = None) -> None:
        """Store `value`, valid for `program` only; if None, for all programs."""
        self.entries[key] = value, program
