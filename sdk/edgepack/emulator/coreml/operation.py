"""The interface between operations and the interpreter: inputs and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import torch

Value: TypeAlias = "torch.Tensor | str | tuple[Value, ...]"
"""Numbers of any rank are tensors, scalars too; strings are strings; lists and tuples are tuples.

A dictionary, the output of `classify`, is a tuple of its keys and a tensor of its values. uint16 is stored as
int32, and integers of less than 8 bits as 8 bits."""

Shape: TypeAlias = tuple[int | None, ...]

_Read = TypeVar("_Read", list[int], float, bool)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The evaluated inputs of one operation, with the defaults of coremltools for absent ones.

    Floats are always float32. Integers and booleans have the type of the program.

    `dtypes` and `shapes` are those of the outputs in the program; symbolic sizes are None.
    `opset` is 15 to 18, for iOS15 to iOS18.
    `cache` contains the Python values of constant inputs, for all runs of an operation.
    """

    values: Mapping[str, Value | None]
    constants: frozenset[str] = frozenset()
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    shapes: tuple[Shape, ...] = ()
    opset: int = 15
    blocks: tuple[Callable[..., tuple[Value, ...]], ...] = ()
    """The blocks of `cond` and `while_loop`, as functions from inputs to outputs."""
    cache: dict[str, list[int] | float | bool] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Tensor:
        """A required tensor. Raises KeyError if it is absent."""
        value = self.values[name]
        if not isinstance(value, torch.Tensor):
            raise KeyError(name)
        return value

    def get(self, name: str) -> torch.Tensor | None:
        """A tensor, or None if it is absent and has no default."""
        return None if self.values.get(name) is None else self[name]

    def has(self, name: str) -> bool:
        """Whether this input is present or has a default."""
        return self.values.get(name) is not None

    def ints(self, name: str) -> list[int]:
        """A tensor of integers as a list; a scalar is a list of one."""
        known = self.cache.get(name)
        return known if isinstance(known, list) else self._cached(name, _ints(self[name]))

    def integer(self, name: str) -> int:
        """An integer."""
        return self.ints(name)[0]

    def number(self, name: str) -> float:
        """A float."""
        known = self.cache.get(name)
        return known if isinstance(known, float) else self._cached(name, float(self[name].item()))

    def flag(self, name: str) -> bool:
        """A boolean."""
        known = self.cache.get(name)
        return known if isinstance(known, bool) else self._cached(name, bool(self[name].item()))

    def text(self, name: str) -> str:
        """A string, such as "same_lower"."""
        value = self.values[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def several(self, name: str) -> tuple[torch.Tensor, ...]:
        """A list of tensors; a tensor is a list of one."""
        return tuple(_flat(self.values[name]))

    def shape(self, output: int = 0) -> Shape:
        """The declared shape of an output; symbolic sizes are None."""
        return self.shapes[output]

    def _cached(self, name: str, value: _Read) -> _Read:
        if name in self.constants:
            self.cache[name] = value
        return value


Op: TypeAlias = Callable[[Inputs], Value]
"""Implementation of an operation. A tuple contains the outputs in the order of the program, so that a single
output that is a list is in a tuple of one."""


def _ints(value: torch.Tensor) -> list[int]:
    return [int(number) for number in value.reshape(-1).tolist()]


def _flat(value: Value | None) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
