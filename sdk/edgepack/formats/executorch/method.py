"""A method of a `.pte`, run on any host instruction by instruction: kernels by torch's operators of the same
names, what delegates were given by who can run it.

Memory is the plan's, as in the runtime: a value that is but a view of another has no instruction, and lies
where the other does. It shows what the file computes, not how ExecuTorch's own kernels round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from edgepack.arrays import Array, Sample
from edgepack.errors import BundleError
from edgepack.formats.executorch import contents

_VIEW = "executorch_prim::et_view"
"""ExecuTorch's own; torch has none of the name."""
_HELD = {"Int": "int_val", "Bool": "bool_val", "Double": "double_val", "String": "string_val"}

Kernel: TypeAlias = "torch._ops.OpOverload | None"
"""None stands for ExecuTorch's view of a tensor."""


class Part(Protocol):
    """What a delegate was given, runnable."""

    @property
    def takes(self) -> int:
        """How many tensors it takes; the others of its call are its answers."""
        ...

    def __call__(self, given: Sequence[Array]) -> Sequence[Array]:
        """Its answers, in order."""
        ...


@dataclass(frozen=True)
class Method:
    """A method with its values, which hold its state from run to run."""

    plan: Any
    values: dict[int, Any]
    """By place, as kernels take them: tensors, numbers, texts, None; a list's in the plan."""
    kernels: tuple[Kernel, ...]
    parts: tuple[Part, ...]

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        """Raises BundleError, naming the operator, where a kernel fails."""
        for place, array in zip(self.plan.inputs, sample, strict=True):
            self._put(place, torch.from_numpy(array.copy()))
        with torch.no_grad():
            for chain in self.plan.chains:
                self._run([each.instr_args for each in chain.instructions])
        return tuple(np.asarray(self.values[place]).copy() for place in self.plan.outputs)

    def _run(self, instructions: Sequence[Any]) -> None:
        number = 0
        while number < len(instructions):
            each, number = instructions[number], number + 1
            kind = type(each).__name__
            if kind == "KernelCall":
                self._kernel(each)
            elif kind == "DelegateCall":
                self._delegate(each)
            elif kind == "MoveCall":
                self.values[each.move_to] = self.values[each.move_from]
            elif kind == "JumpFalseCall" and not bool(self.values[each.cond_value_index]):
                number = each.destination_instruction

    def _delegate(self, call: Any) -> None:
        part = self.parts[call.delegate_index]
        given = [self.values[place].numpy() for place in call.args[: part.takes]]
        for place, answer in zip(call.args[part.takes :], part(given), strict=True):
            self._put(place, torch.from_numpy(np.asarray(answer)))

    def _put(self, place: int, value: torch.Tensor) -> None:
        """A tensor as a whole, where the plan has memory for it into that."""
        declared = self.plan.values[place].val
        if declared.allocation_info is None:
            self.values[place] = value.to(_dtype(declared))
        else:
            self.values[place].copy_(value)

    def _kernel(self, call: Any) -> None:
        kernel, name = self.kernels[call.op_index], self.plan.operators[call.op_index].name
        try:
            if kernel is None:
                source, size, answer = call.args[:3]
                self.values[answer] = self.values[source].reshape(self._value(size))
            else:
                self._call(kernel, call.args)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as cause:
            raise BundleError(f"{name} cannot be computed: {cause}") from cause

    def _call(self, kernel: torch._ops.OpOverload, places: list[int]) -> None:
        """Places of the arguments, those of its answers too, then again those of its answers."""
        declared = kernel._schema.arguments
        given: list[Any] = []
        named: dict[str, Any] = {}
        for argument, place in zip(declared, places):
            if argument.kwarg_only:
                named[argument.name] = self._value(place)
            else:
                given.append(self._value(place))
        found = kernel(*given, **named)
        if not any(argument.is_out for argument in declared):
            answers = found if isinstance(found, tuple) else (found,)
            self.values.update(zip(places[len(declared) :], answers, strict=True))

    def _value(self, place: int) -> Any:
        listed = self.plan.values[place].val
        kind = type(listed).__name__
        if kind in ("IntList", "TensorList", "OptionalTensorList"):
            return [None if item < 0 else self.values[item] for item in listed.items]
        return listed.items if kind in ("BoolList", "DoubleList") else self.values[place]


def method(file: Any, plan: Any, part: Callable[[Any], Part]) -> Method:
    """The method of `plan` in `file`, as ExecuTorch's deserializer gives it; `part` makes a delegate run.

    Raises BundleError, naming it, where an operator has no kernel.
    """
    memory = [torch.zeros(size, dtype=torch.uint8) for size in plan.non_const_buffer_sizes]
    return Method(
        plan=plan,
        values={place: _held(file, memory, each.val) for place, each in enumerate(plan.values)},
        kernels=tuple(_kernel(each.name, each.overload) for each in plan.operators),
        parts=tuple(part(each) for each in plan.delegates),
    )


def _kernel(name: str, overload: str) -> Kernel:
    if name == _VIEW:
        return None
    space, _, plain = name.partition("::")
    try:
        found = getattr(getattr(getattr(torch.ops, space), plain), overload or "default")
    except AttributeError as cause:
        whole = f"{name}.{overload}" if overload else name
        raise BundleError(f"{whole} cannot be run here: torch has no operator of this name") from cause
    assert isinstance(found, torch._ops.OpOverload)
    return found


def _held(file: Any, memory: list[torch.Tensor], value: Any) -> Any:
    """A value before the first run. A tensor that is neither stored nor given begins as zeros."""
    kind = type(value).__name__
    if kind != "Tensor":
        return getattr(value, _HELD[kind]) if kind in _HELD else None
    planned, stored = value.allocation_info, value.data_buffer_idx
    if planned is None:
        raw = file.program.constant_buffer[stored].storage if stored else bytes(_size(value))
        return _laid_out(torch.frombuffer(bytearray(raw) or bytearray(1), dtype=torch.uint8), value)
    begin = planned.memory_offset_low + (planned.memory_offset_high << 32)
    found = _laid_out(memory[planned.memory_id][begin:], value)
    if stored:  # a state that does not begin as zeros
        raw = bytearray(file.mutable_data[stored].storage)
        found.copy_(_laid_out(torch.frombuffer(raw, dtype=torch.uint8), value))
    return found


def _laid_out(raw: torch.Tensor, value: Any) -> torch.Tensor:
    """The tensor whose bytes are the first of `raw`, its dimensions in memory in `dim_order`."""
    flat = raw[: _size(value)].view(_dtype(value))
    whole = flat.reshape([value.sizes[axis] for axis in value.dim_order])
    return whole.permute([int(axis) for axis in np.argsort(value.dim_order)])


def _size(value: Any) -> int:
    return int(np.prod(value.sizes, dtype=np.int64)) * _dtype(value).itemsize


def _dtype(tensor: Any) -> torch.dtype:
    name = contents.dtype_name(tensor)
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise BundleError(f"tensors of {name} cannot be computed with here")
    return found
