"""Translate a pymil function into an execution plan: steps, decompressed constants, and slots for values."""

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
"""Types of computation for MIL types; int32 for all other integers."""
_NARROW = {"float16": "float32", "uint16": "int32", "uint32": "int64"}
"""NumPy types that torch does not support, or that the interpreter does not use."""


@dataclass(frozen=True)
class ExecutionPlan:
    """An executable function."""

    block: Block
    inputs: tuple[str, ...]
    """Names of the inputs of the block."""
    dtypes: Mapping[str, torch.dtype]
    """Declared types of inputs and states."""
    states: Mapping[str, tuple[int, ...]]
    """Shapes of the inputs that are states."""
    shapes: Mapping[str, Shape]
    outputs: tuple[str, ...]
    constants: Values


def plan_function(function: Any, table: Mapping[str, Op], opset: int) -> ExecutionPlan:
    """The execution plan of a pymil `Function`, whose operations must all be in `table`."""
    planner = _Planner(table, opset)
    block = planner.block(function, list(function.inputs.values()))
    inputs = function.inputs
    return ExecutionPlan(
        block=block,
        inputs=tuple(inputs),
        dtypes={name: _dtype(variable) for name, variable in inputs.items()},
        states={name: _declared(variable) for name, variable in inputs.items() if _is_state(variable)},
        shapes={name: _shape(variable) for name, variable in inputs.items()},
        outputs=tuple(variable.name for variable in function.outputs),
        constants=planner.constants,
    )


@dataclass
class _Planner:
    """Assigns slots to the variables of a function."""

    table: Mapping[str, Op]
    opset: int
    slots: dict[Any, Slot] = field(default_factory=dict)
    constants: Values = field(default_factory=dict)

    def block(self, block: Any, inputs: list[Any]) -> Block:
        entries = tuple(self._slot(variable) for variable in inputs)
        operations = (operation for operation in block.operations if not constexpr.is_constant(operation))
        steps = [self._step(operation) for operation in operations]
        outputs = tuple(self._slot(variable) for variable in block.outputs)
        return Block(entries, tuple(self._with_expiry(entries, steps, outputs)), outputs)

    def _slot(self, variable: Any) -> Slot:
        """The slot of a variable. The value of a constant is evaluated at its first use."""
        if variable not in self.slots:
            self.slots[variable] = len(self.slots)
            if _is_constant(variable):
                self.constants[self.slots[variable]] = as_value(constexpr.evaluate(variable))
        return self.slots[variable]

    def _step(self, operation: Any) -> Step:
        constants: dict[str, Value | None] = dict.fromkeys(operation.input_spec.input_types)
        variables: list[tuple[str, Slot | tuple[Slot, ...]]] = []
        for name, argument in operation.inputs.items():
            if not _is_constant(argument):
                variables.append((name, self._slots(argument)))
            elif isinstance(argument, (tuple, list)):
                constants[name] = tuple(self.constants[self._slot(item)] for item in argument)
            else:
                constants[name] = self.constants[self._slot(argument)]
        return Step(
            kind=operation.op_type,
            name=operation.name,
            compute=self.table[operation.op_type],
            constants=constants,
            variables=tuple(variables),
            outputs=tuple(self._slot(output) for output in operation.outputs),
            names=tuple(output.name for output in operation.outputs),
            dtypes=tuple(_dtype(output) for output in operation.outputs),
            shapes=tuple(_shape(output) for output in operation.outputs),
            opset=self.opset,
            blocks=tuple(self.block(block, block.inputs) for block in operation.blocks),
            constant_names=frozenset(constants) - {name for name, _ in variables},
        )

    def _slots(self, argument: Any) -> Slot | tuple[Slot, ...]:
        if isinstance(argument, (tuple, list)):
            return tuple(self._slot(item) for item in argument)
        return self._slot(argument)

    def _with_expiry(
        self, entries: tuple[Slot, ...], steps: list[Step], outputs: tuple[Slot, ...]
    ) -> Iterator[Step]:
        """The steps, with the values of the block that no later step reads."""
        own = {*entries, *(slot for step in steps for slot in step.outputs)}
        last = {slot: step for step in steps for slot in {*step.outputs, *_uses(step)} & own}
        for step in steps:
            expired = [slot for slot, user in last.items() if user is step and slot not in outputs]
            yield replace(step, expired=tuple(expired))


def _uses(step: Step) -> Iterator[Slot]:
    """Slots that a step or its inner blocks read."""
    for _, slots in step.variables:
        yield from (slots,) if isinstance(slots, int) else slots
    for block in step.blocks:
        yield from block.outputs
        for inner in block.steps:
            yield from _uses(inner)


def _is_constant(argument: Any) -> bool:
    if isinstance(argument, (tuple, list)):
        return all(_is_constant(item) for item in argument)
    return argument.op is not None and constexpr.is_constant(argument.op)


def _is_state(variable: Any) -> bool:
    return bool(types.is_state(variable.sym_type))


def _dtype(variable: Any) -> torch.dtype:
    """The type of a tensor or of the elements of a list; fp32 for strings and dictionaries."""
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


def as_value(constant: Any) -> Value:
    """A pymil constant as a value of the interpreter."""
    if isinstance(constant, str):
        return constant
    if hasattr(constant, "ls"):  # a list of pymil
        return tuple(as_value(item) for item in constant.ls)
    array = np.asarray(constant)
    if array.dtype.kind in "US":
        return tuple(str(text) for text in array.ravel())
    plain = array.astype(_NARROW.get(array.dtype.name, array.dtype.name))
    return torch.from_numpy(np.ascontiguousarray(plain).reshape(array.shape))
