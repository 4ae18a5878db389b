"""Layers of a model file: the bytes of their constants, and the share of weights in integers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter

from edgepack.formats.description import Layer


@dataclass(frozen=True)
class Constant:
    """A stored tensor; `bytes` is 0 where it is counted for another operator."""

    precision: str
    rank: int
    bytes: int


@dataclass(frozen=True)
class Operator:
    """An operator of a program with the constants that it reads."""

    name: str
    """Empty where the file has no name for it."""
    kind: str
    constants: tuple[Constant, ...]

    @property
    def bytes(self) -> int:
        """The bytes of all its constants."""
        return sum(each.bytes for each in self.constants)

    @property
    def weight(self) -> Constant | None:
        """The largest constant that is no vector; None where there is none."""
        matrices = (each for each in self.constants if each.rank > 1)
        return max(matrices, key=attrgetter("bytes"), default=None)

    @property
    def layer(self) -> Layer:
        """The operator as a layer, with the precision of its weight, else of its largest constant.

        It must have a constant.
        """
        main = self.weight or max(self.constants, key=attrgetter("bytes"))
        return Layer(self.name, self.kind, main.precision, self.bytes)


def layers(operators: Iterable[Operator]) -> tuple[Layer, ...]:
    """Layers of the operators that have constants, largest first, equal ones in the given order."""
    costly = (each.layer for each in operators if each.bytes)
    return tuple(sorted(costly, key=lambda layer: -layer.bytes))


def quantized(weighted: Collection[tuple[str, bool]]) -> tuple[float | None, tuple[str, ...]]:
    """The share, 0..1, of weights in integers, and the names of the operators whose weights are not.

    `weighted` has the name of every operator with a weight, and whether the weight is in integers. The share
    is None where there is none.
    """
    floats = tuple(name for name, integer in weighted if not integer)
    return (1 - len(floats) / len(weighted) if weighted else None), floats
