"""A planned program, run: steps in order, values dropped after their last use.

Floats are computed in fp32. Where the program says fp16 a result is rounded to it, which makes infinity of
what is too large, as the type has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch

from edgepack.emulator.coreml.operation import Given, Op, Shape, Value
from edgepack.errors import BundleError

Slot: TypeAlias = int
"""Where a value is kept while a program runs."""
Values: TypeAlias = dict[Slot, Value]
Watch: TypeAlias = Callable[[str, torch.Tensor], None]
"""Told the name and value of each float that a program computes."""

_HELD = {torch.float16: torch.float32}
_MISTAKES = (ArithmeticError, AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, its constants bound."""

    kind: str
    name: str
    compute: Op
    fixed: Mapping[str, Value | None]
    fed: tuple[tuple[str, Slot | tuple[Slot, ...]], ...]
    """Inputs that differ from run to run, and where they are kept."""
    gives: tuple[Slot, ...]
    names: tuple[str, ...]
    dtypes: tuple[torch.dtype, ...]
    shapes: tuple[Shape, ...]
    opset: int
    blocks: tuple[Block, ...] = ()
    drops: tuple[Slot, ...] = ()
    """What no later step needs."""
    constants: frozenset[str] = frozenset()
    settled: dict[str, list[int] | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """Steps from inputs to outputs: a function, a branch or a loop's body."""

    inputs: tuple[Slot, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Slot, ...]


def run(block: Block, values: Values, watch: Watch | None, *inputs: Value) -> tuple[Value, ...]:
    """The block's outputs; `values` holds what it reads from outside. Raises BundleError."""
    values.update(zip(block.inputs, inputs))
    for step in block.steps:
        try:
            _take(step, values, watch)
        except (ValueError, *_MISTAKES) as cause:
            raise BundleError(f"{step.kind} '{step.name}' cannot be computed: {cause}") from cause
    return tuple(values[slot] for slot in block.outputs)


def _take(step: Step, values: Values, watch: Watch | None) -> None:
    result = step.compute(_given(step, values, watch))
    results = result if isinstance(result, tuple) else (result,)
    for slot, name, dtype, value in zip(step.gives, step.names, step.dtypes, results, strict=True):
        values[slot] = typed(value, dtype) if isinstance(value, torch.Tensor) else value
        if watch is not None:
            tell(watch, name, values[slot])
    for slot in step.drops:
        del values[slot]


def _given(step: Step, values: Values, watch: Watch | None) -> Given:
    inputs = dict(step.fixed)
    for name, slot in step.fed:
        inputs[name] = values[slot] if isinstance(slot, int) else tuple([values[each] for each in slot])
    return Given(
        values=inputs,
        constants=step.constants,
        dtypes=step.dtypes,
        shapes=step.shapes,
        opset=step.opset,
        blocks=tuple([partial(run, each, values, watch) for each in step.blocks]),
        settled=step.settled,
    )


def typed(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A result as the type that the program declares; fp16 in fp32's clothes."""
    if dtype == torch.float16 and value.is_floating_point():
        return value.to(torch.float16).to(torch.float32)
    return value.to(_HELD.get(dtype, dtype))


def tell(watch: Watch, name: str, value: Value) -> None:
    """Show a value to `watch`, if it is of floats."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        watch(name, value)
