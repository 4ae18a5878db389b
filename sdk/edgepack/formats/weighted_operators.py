"""Layers of a model file: what operators' constants cost, and how many weights are in integers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter

from edgepack.formats.description import Layer


@dataclass(frozen=True)
class Constant:
    """A stored tensor; `bytes` is what it adds to the model, 0 where it is counted elsewhere."""

    precision: str
    rank: int
    bytes: int


@dataclass(frozen=True)
class Operator:
    """A step of a program with the constants that it reads."""

    name: str
    """Empty where the file does not tell."""
    kind: str
    constants: tuple[Constant, ...]

    @property
    def bytes(self) -> int:
        """What its constants cost together."""
        return sum(each.bytes for each in self.constants)

    @property
    def weight(self) -> Constant | None:
        """The largest constant that is no vector; None where there is none."""
        matrices = (each for each in self.constants if each.rank > 1)
        return max(matrices, key=attrgetter("bytes"), default=None)

    @property
    def layer(self) -> Layer:
        """Its cost, in the precision of its weight, else of its largest constant; it must have one."""
        main = self.weight or max(self.constants, key=attrgetter("bytes"))
        return Layer(self.name, self.kind, main.precision, self.bytes)


def layers(operators: Iterable[Operator]) -> tuple[Layer, ...]:
    """Layers of the operators that cost bytes, largest first, equal ones in the order given."""
    costly = (each.layer for each in operators if each.bytes)
    return tuple(sorted(costly, key=lambda layer: -layer.bytes))


def quantized(weighted: Collection[tuple[str, bool]]) -> tuple[float | None, tuple[str, ...]]:
    """The share, 0..1, of weights that are in integers, and the operators of those that are not.

    `weighted` are the operators that have weights: the name, and whether the weight is in integers.
    The share is None where there are none.
    """
    floats = tuple(name for name, integer in weighted if not integer)
    return (1 - len(floats) / len(weighted) if weighted else None), floats
