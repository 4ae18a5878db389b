"""An architecture of the zoo: how it is made, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

Content = Literal["pictures", "frames", "tones", "features", "tokens", "mask"]
"""`pictures`: gratings [1, 3, H, W]. `frames`: moving gratings [1, 3, T, H, W]. `tones`: sound [1, T] or
[1, 1, T]. `features`: smooth spectra, any shape. `tokens`: ids of a vocabulary [1, T], int64. `mask`: 1 for
each token, 0 for padding [1, T], int64."""


@dataclass(frozen=True)
class Feed:
    """One input."""

    name: str
    content: Content
    shape: tuple[int, ...]
    vocabulary: int = 0
    """Tokens only: ids are smaller than this."""

    @property
    def spec(self) -> str:
        """The value of `--input`."""
        dtype = ":int64" if self.content in ("tokens", "mask") else ""
        return f"{self.name}=tensor:{'x'.join(map(str, self.shape))}{dtype}"


@dataclass(frozen=True)
class Architecture:
    """A network with random weights."""

    name: str
    """Library and name: `timm/fastvit_t8`."""
    make: Callable[[], nn.Module]
    feeds: tuple[Feed, ...]

    @property
    def library(self) -> str:
        """The library that defines it."""
        return self.name.partition("/")[0]


def picture(size: int) -> tuple[Feed, ...]:
    """The input of a network for images."""
    return (Feed("x", "pictures", (1, 3, size, size)),)
