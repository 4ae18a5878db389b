"""Progress of a build or a check: what is being done, and how much is left."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows what is being done."""

    def begin(self, steps: int) -> None:
        """`steps` calls of `step` will follow."""
        ...

    def step(self, doing: str) -> None:
        """A step begins."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def begin(self, steps: int) -> None:
        """Nothing."""

    def step(self, doing: str) -> None:
        """Nothing."""
