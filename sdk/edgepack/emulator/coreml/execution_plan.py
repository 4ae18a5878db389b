"""A pymil function becomes steps: constants dense and bound, values in slots, last uses known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.types.symbolic import is_symbolic

from edgepack.emulator.coreml import constexpr
from edgepack.emulator.coreml.interpreter import Block, Slot, Step, Values
from edgepack.emulator.coreml.operation import Op, Shape, Value

_DTYPES: Mapping[str, torch.dtype] = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int64": torch.int64,
    "uint32": torch.int64,
}
"""What MIL types are computed in; every other integer in int32."""
_NARROW = {"float16": "float32", "uint16": "int32", "uint32": "int64"}
"""NumPy types that torch cannot compute with."""


@dataclass(frozen=True)
class ExecutionPlan:
    """A function, ready to run."""

    block: Block
    inputs: tuple[str, ...]
    """Names of the block's inputs."""
    dtypes: Mapping[str, torch.dtype]
    """Types of inputs and states as the program declares them."""
    states: Mapping[str, tuple[int, ...]]
    """Shapes of those inputs that are states."""
    shapes: Mapping[str, Shape]
    outputs: tuple[str, ...]
    constants: Values


def plan_function(function: Any, table: Mapping[str, Op], opset: int) -> ExecutionPlan:
    """The steps of a pymil `Function`, whose operations are all in `table`."""
    planner = _Planner(table, opset)
    block = planner.block(function, list(function.inputs.values()))
    given = function.inputs
    return ExecutionPlan(
        block=block,
        inputs=tuple(given),
        dtypes={name: _dtype(each) for name, each in given.items()},
        states={name: tuple(_declared(each)) for name, each in given.items() if _is_state(each)},
        shapes={name: _shape(each) for name, each in given.items()},
        outputs=tuple(each.name for each in function.outputs),
        constants=planner.constants,
    )


@dataclass
class _Planner:
    """Gives every variable of a function its slot."""

    table: Mapping[str, Op]
    opset: int
    slots: dict[Any, Slot] = field(default_factory=dict)
    constants: Values = field(default_factory=dict)

    def block(self, block: Any, inputs: list[Any]) -> Block:
        entries = tuple(self._slot(each) for each in inputs)
        steps = [self._step(each) for each in block.operations if not constexpr.is_constant(each)]
        outputs = tuple(self._slot(each) for each in block.outputs)
        return Block(entries, tuple(self._dropping(entries, steps, outputs)), outputs)

    def _slot(self, variable: Any) -> Slot:
        """Where a variable is kept; a constant is put there at once."""
        if variable not in self.slots:
            self.slots[variable] = len(self.slots)
            if _is_constant(variable):
                self.constants[self.slots[variable]] = as_value(constexpr.held(variable))
        return self.slots[variable]

    def _step(self, operation: Any) -> Step:
        fixed: dict[str, Value | None] = dict.fromkeys(operation.input_spec.input_types)
        fed: list[tuple[str, Slot | tuple[Slot, ...]]] = []
        for name, given in operation.inputs.items():
            if not _is_constant(given):
                fed.append((name, self._kept(given)))
            elif isinstance(given, (tuple, list)):
                fixed[name] = tuple(self.constants[self._slot(each)] for each in given)
            else:
                fixed[name] = self.constants[self._slot(given)]
        return Step(
            kind=operation.op_type,
            name=operation.name,
            compute=self.table[operation.op_type],
            fixed=fixed,
            fed=tuple(fed),
            gives=tuple(self._slot(each) for each in operation.outputs),
            names=tuple(each.name for each in operation.outputs),
            dtypes=tuple(_dtype(each) for each in operation.outputs),
            shapes=tuple(_shape(each) for each in operation.outputs),
            opset=self.opset,
            blocks=tuple(self.block(each, each.inputs) for each in operation.blocks),
            constants=frozenset(fixed) - {name for name, _ in fed},
        )

    def _kept(self, given: Any) -> Slot | tuple[Slot, ...]:
        if isinstance(given, (tuple, list)):
            return tuple(self._slot(each) for each in given)
        return self._slot(given)

    def _dropping(
        self, entries: tuple[Slot, ...], steps: list[Step], outputs: tuple[Slot, ...]
    ) -> Iterator[Step]:
        """The steps, each told which of the block's own values are used by no later one."""
        own = {*entries, *(slot for step in steps for slot in step.gives)}
        last = {slot: step for step in steps for slot in {*step.gives, *_uses(step)} & own}
        for step in steps:
            done = [slot for slot, user in last.items() if user is step and slot not in outputs]
            yield replace(step, drops=tuple(done))


def _uses(step: Step) -> Iterator[Slot]:
    """Slots that a step reads, by its inner blocks, too."""
    for _, slots in step.fed:
        yield from (slots,) if isinstance(slots, int) else slots
    for block in step.blocks:
        yield from block.outputs
        for inner in block.steps:
            yield from _uses(inner)


def _is_constant(given: Any) -> bool:
    if isinstance(given, (tuple, list)):
        return all(_is_constant(each) for each in given)
    return given.op is not None and constexpr.is_constant(given.op)


def _is_state(variable: Any) -> bool:
    return bool(types.is_state(variable.sym_type))


def _dtype(variable: Any) -> torch.dtype:
    """The type of a tensor or of a list's elements; fp32 for what is no number."""
    kind = variable.sym_type
    if types.is_state(kind):
        kind = kind.wrapped_type()
    if types.is_list(kind):
        kind = kind.T[0]
    if types.is_dict(kind) or kind == types.str:
        return torch.float32
    primitive = kind.get_primitive() if types.is_tensor(kind) else kind
    return _DTYPES.get(types.builtin_to_string(primitive), torch.int32)


def _declared(variable: Any) -> tuple[Any, ...]:
    kind = variable.sym_type
    if types.is_state(kind):
        kind = kind.wrapped_type()
    return tuple(kind.get_shape()) if types.is_tensor(kind) else ()


def _shape(variable: Any) -> Shape:
    return tuple(None if is_symbolic(size) else int(size) for size in _declared(variable))


def as_value(given: Any) -> Value:
    """A pymil constant as what operations compute with."""
    if isinstance(given, str):
        return given
    if hasattr(given, "ls"):  # pymil's own list
        return tuple(as_value(each) for each in given.ls)
    array = np.asarray(given)
    if array.dtype.kind in "US":
        return tuple(str(each) for each in array.ravel())
    plain = array.astype(_NARROW.get(array.dtype.name, array.dtype.name))
    return torch.from_numpy(np.ascontiguousarray(plain).reshape(array.shape))
