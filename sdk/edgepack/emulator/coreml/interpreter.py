"""Run an execution plan: steps in order; values are deleted after their last use.

Floats are computed in fp32. Results that the program declares as fp16 are rounded to it, so large values
become infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch

from edgepack.emulator.coreml.operation import Inputs, Op, Shape, Value
from edgepack.errors import BundleError

Slot: TypeAlias = int
"""Number of a value in an execution plan."""
Values: TypeAlias = dict[Slot, Value]
Watch: TypeAlias = Callable[[str, torch.Tensor], None]
"""Called with the name and value of each float tensor that a program computes."""

_STORED = {torch.float16: torch.float32}
_FAILURES = (ArithmeticError, AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its constant inputs."""

    kind: str
    name: str
    compute: Op
    constants: Mapping[str, Value | None]
    variables: tuple[tuple[str, Slot | tuple[Slot, ...]], ...]
    """Inputs that are computed, and their slots."""
    outputs: tuple[Slot, ...]
    names: tuple[str, ...]
    dtypes: tuple[torch.dtype, ...]
    shapes: tuple[Shape, ...]
    opset: int
    blocks: tuple[Block, ...] = ()
    expired: tuple[Slot, ...] = ()
    """Slots that no later step reads."""
    constant_names: frozenset[str] = frozenset()
    cache: dict[str, list[int] | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """A sequence of steps: a function, a branch, or the condition or body of a loop."""

    inputs: tuple[Slot, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Slot, ...]


def run(block: Block, values: Values, watch: Watch | None, *inputs: Value) -> tuple[Value, ...]:
    """The outputs of a block. `values` contains constants and values of outer blocks.

    Raises BundleError if an operation fails.
    """
    values.update(zip(block.inputs, inputs))
    for step in block.steps:
        try:
            _execute(step, values, watch)
        except (ValueError, *_FAILURES) as cause:
            raise BundleError(f"{step.kind} '{step.name}' cannot be computed: {cause}") from cause
    return tuple(values[slot] for slot in block.outputs)


def _execute(step: Step, values: Values, watch: Watch | None) -> None:
    result = step.compute(_inputs(step, values, watch))
    results = result if isinstance(result, tuple) else (result,)
    for slot, name, dtype, value in zip(step.outputs, step.names, step.dtypes, results, strict=True):
        values[slot] = typed(value, dtype) if isinstance(value, torch.Tensor) else value
        if watch is not None:
            report(watch, name, values[slot])
    for slot in step.expired:
        del values[slot]


def _inputs(step: Step, values: Values, watch: Watch | None) -> Inputs:
    inputs = dict(step.constants)
    for name, slot in step.variables:
        inputs[name] = values[slot] if isinstance(slot, int) else tuple([values[item] for item in slot])
    return Inputs(
        values=inputs,
        constants=step.constant_names,
        dtypes=step.dtypes,
        shapes=step.shapes,
        opset=step.opset,
        blocks=tuple([partial(run, block, values, watch) for block in step.blocks]),
        cache=step.cache,
    )


def typed(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A result in the declared type; fp16 values are rounded but stored as fp32."""
    if dtype == torch.float16 and value.is_floating_point():
        return value.to(torch.float16).to(torch.float32)
    return value.to(_STORED.get(dtype, dtype))


def report(watch: Watch, name: str, value: Value) -> None:
    """Call `watch` with a value if it is a float tensor."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        watch(name, value)
