"""One operation of an ML Program: the inputs it is given, and what a way to compute it looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import torch

Value: TypeAlias = "torch.Tensor | str | tuple[Value, ...]"
"""Numbers of any rank, scalars included, are tensors; texts are texts; lists and tuples are tuples.

A dictionary, as `classify` gives it, is two: its keys, a tuple, and its values, a tensor. 16-bit unsigned
numbers are held as int32, and those of less than 8 bits as 8."""

Shape: TypeAlias = tuple[int | None, ...]

_Read = TypeVar("_Read", list[int], float, bool)


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs of one operation, evaluated, with coremltools' defaults for those the program leaves out.

    Floats are always float32; whole numbers and flags keep the type the program gives them.

    `dtypes` and `shapes`: of the outputs, as the program declares them; None where a size is symbolic.
    `opset`: 15 to 18, for iOS15 to iOS18.
    `settled`: what was read from constants already; one mapping for all runs of an operation.
    """

    values: Mapping[str, Value | None]
    constants: frozenset[str] = frozenset()
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    shapes: tuple[Shape, ...] = ()
    opset: int = 15
    blocks: tuple[Callable[..., tuple[Value, ...]], ...] = ()
    """The inner programs of `cond` and `while_loop`: called with their inputs, they give their outputs."""
    settled: dict[str, list[int] | float | bool] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Tensor:
        """A tensor that must be there. Raises KeyError where the program gives none."""
        value = self.values[name]
        if not isinstance(value, torch.Tensor):
            raise KeyError(name)
        return value

    def get(self, name: str) -> torch.Tensor | None:
        """A tensor, or None where neither the program nor coremltools gives one."""
        return None if self.values.get(name) is None else self[name]

    def has(self, name: str) -> bool:
        """Whether the program or coremltools gives this input."""
        return self.values.get(name) is not None

    def ints(self, name: str) -> list[int]:
        """A tensor of whole numbers as a list; of a scalar, a list of one."""
        known = self.settled.get(name)
        return known if isinstance(known, list) else self._settle(name, _ints(self[name]))

    def integer(self, name: str) -> int:
        """A whole number."""
        return self.ints(name)[0]

    def number(self, name: str) -> float:
        """A number."""
        known = self.settled.get(name)
        return known if isinstance(known, float) else self._settle(name, float(self[name].item()))

    def flag(self, name: str) -> bool:
        """A yes or no."""
        known = self.settled.get(name)
        return known if isinstance(known, bool) else self._settle(name, bool(self[name].item()))

    def text(self, name: str) -> str:
        """A word, such as "same_lower"."""
        value = self.values[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def several(self, name: str) -> tuple[torch.Tensor, ...]:
        """A list of tensors; one tensor alone is a list of one."""
        return tuple(_flat(self.values[name]))

    def shape(self, output: int = 0) -> Shape:
        """What the program declares of an output; None where a size is symbolic."""
        return self.shapes[output]

    def _settle(self, name: str, value: _Read) -> _Read:
        if name in self.constants:
            self.settled[name] = value
        return value


Op: TypeAlias = Callable[[Given], Value]
"""Computes an operation. A tuple is its outputs in the program's order; so a list that is the only output
comes in a tuple of one."""


def _ints(value: torch.Tensor) -> list[int]:
    return [int(each) for each in value.reshape(-1).tolist()]


def _flat(value: Value | None) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _flat(each)
