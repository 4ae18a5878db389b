"""Delegation: the parts of a program that delegates run, and the operators left outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_FEW = 4


@dataclass(frozen=True)
class Delegate:
    """A delegate, and its share of one program."""

    name: str
    parts: int
    """Partitions of the program that it runs; between them values return to the program."""
    operators: int
    multiply_adds: int
    share_of_operators: float
    """0..1, of all operators of the program."""
    share_of_work: float | None
    """0..1, of all multiply-adds of the program; None where it has none."""
    instructions: int | None = None
    """Instructions within its calls, of one inference on the emulated device; None where not counted."""
    share_of_instructions: float | None = None
    """0..1, of all instructions of that inference."""


@dataclass(frozen=True)
class Outside:
    """Operators of one kind and one line of the model that no delegate runs."""

    operator: str
    line: str
    """`file:line` in the model's own code, the file as it is imported; empty where it is not known."""
    count: int
    multiply_adds: int

    def __str__(self) -> str:
        times = f" × {self.count}" if self.count > 1 else ""
        return f"{self.operator}{times}" + (f" at {self.line}" if self.line else "")


@dataclass(frozen=True)
class Delegation:
    """One program: its delegates, and the operators outside, sorted by work and number."""

    operators: int
    multiply_adds: int
    """Of one sample: convolutions and matrix products."""
    delegates: tuple[Delegate, ...]
    outside: tuple[Outside, ...]

    @property
    def share(self) -> tuple[float, str]:
        """The delegates' share in percent and its unit: multiply-adds, or operators without these."""
        if self.multiply_adds:
            work = sum(each.multiply_adds for each in self.delegates)
            return 100 * work / self.multiply_adds, "% of multiply-adds"
        inside = sum(each.operators for each in self.delegates)
        return 100 * inside / max(1, self.operators), "% of operators"

    def counted(self, instructions: int, inside: Mapping[str, int]) -> Delegation:
        """The same with the instructions `inside` each delegate, of all `instructions` of an inference."""
        counts = [inside.get(each.name, 0) for each in self.delegates]
        made = [
            replace(each, instructions=count, share_of_instructions=count / instructions)
            for each, count in zip(self.delegates, counts)
        ]
        return replace(self, delegates=tuple(made))

    def uncounted(self) -> Delegation:
        """The same without counts, which belong to one device and one run."""
        made = [replace(each, instructions=None, share_of_instructions=None) for each in self.delegates]
        return replace(self, delegates=tuple(made))

    def __str__(self) -> str:
        """Each delegate's shares, in words."""
        told = []
        for each in self.delegates:
            words = f"{each.name} {100 * each.share_of_operators:.4g} % of operators"
            if each.share_of_work is not None:
                words += f", {100 * each.share_of_work:.4g} % of multiply-adds"
            if each.share_of_instructions is not None:
                words += f", {100 * each.share_of_instructions:.4g} % of instructions"
            told.append(words + (f" in {each.parts} parts" if each.parts > 1 else ""))
        return "; ".join(told) or "nothing: the program runs without a delegate"

    @property
    def left(self) -> str:
        """The largest operators outside, in words; empty where there are none."""
        rest = len(self.outside) - _FEW
        more = f" and {rest} more" if rest > 0 else ""
        return ", ".join(str(each) for each in self.outside[:_FEW]) + more
