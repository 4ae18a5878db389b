"""An interpreter of a method of a `.pte`, for any host.

It runs each instruction: a kernel by torch's operator of the same name, a delegate's part by a function that
the caller supplies. Memory is laid out by the plan of the file, as in ExecuTorch's runtime: a view of a value
has no instruction, it has the same place in memory. The interpreter shows what the file computes, not how
ExecuTorch's own kernels round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from edgepack.arrays import Array, Sample
from edgepack.errors import BundleError
from edgepack.formats.executorch.program_file import dtype_name

_VIEW = "executorch_prim::et_view"
"""ExecuTorch's own operator; torch has none of that name."""
_FIELDS = {"Int": "int_val", "Bool": "bool_val", "Double": "double_val", "String": "string_val"}

Kernel: TypeAlias = "torch._ops.OpOverload | None"
"""None is ExecuTorch's view of a tensor."""


class Part(Protocol):
    """The part of a method that a delegate runs."""

    @property
    def input_count(self) -> int:
        """Number of its inputs; the remaining arguments of its call are its outputs."""
        ...

    def __call__(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Its outputs, in order."""
        ...


@dataclass(frozen=True)
class Method:
    """A method and its values, which keep its state from run to run."""

    plan: Any
    values: dict[int, Any]
    """The values by their index in the plan: tensors, numbers, strings, None. Lists are in the plan."""
    kernels: tuple[Kernel, ...]
    parts: tuple[Part, ...]

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        """The outputs for one sample. Raises BundleError, with the operator's name, where a kernel fails."""
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
        inputs = [self.values[place].numpy() for place in call.args[: part.input_count]]
        for place, output in zip(call.args[part.input_count :], part(inputs), strict=True):
            self._put(place, torch.from_numpy(np.asarray(output)))

    def _put(self, place: int, value: torch.Tensor) -> None:
        """Set a value to a tensor, in the memory that the plan has for it, if any."""
        declared = self.plan.values[place].val
        if declared.allocation_info is None:
            self.values[place] = value.to(_dtype(declared))
        else:
            self.values[place].copy_(value)

    def _kernel(self, call: Any) -> None:
        kernel, name = self.kernels[call.op_index], self.plan.operators[call.op_index].name
        try:
            if kernel is None:
                source, size, output = call.args[:3]
                self.values[output] = self.values[source].reshape(self._value(size))
            else:
                self._call(kernel, call.args)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as cause:
            raise BundleError(f"{name} cannot be computed: {cause}") from cause

    def _call(self, kernel: torch._ops.OpOverload, places: list[int]) -> None:
        """Run a kernel. `places` are the indexes of its arguments, `out` arguments included, then of its
        outputs."""
        declared = kernel._schema.arguments
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for argument, place in zip(declared, places):
            if argument.kwarg_only:
                named[argument.name] = self._value(place)
            else:
                positional.append(self._value(place))
        found = kernel(*positional, **named)
        if not any(argument.is_out for argument in declared):
            outputs = found if isinstance(found, tuple) else (found,)
            self.values.update(zip(places[len(declared) :], outputs, strict=True))

    def _value(self, place: int) -> Any:
        listed = self.plan.values[place].val
        kind = type(listed).__name__
        if kind in ("IntList", "TensorList", "OptionalTensorList"):
            return [None if item < 0 else self.values[item] for item in listed.items]
        return listed.items if kind in ("BoolList", "DoubleList") else self.values[place]


def method(file: Any, plan: Any, part: Callable[[Any], Part]) -> Method:
    """The method of the execution plan `plan` in the `PTEFile` `file`.

    `part` returns what runs a delegate of the plan. Raises BundleError, with the operator's name, where torch
    has no kernel for it.
    """
    memory = [torch.zeros(size, dtype=torch.uint8) for size in plan.non_const_buffer_sizes]
    return Method(
        plan=plan,
        values={place: _initial(file, memory, each.val) for place, each in enumerate(plan.values)},
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


def _initial(file: Any, memory: list[torch.Tensor], value: Any) -> Any:
    """A value before the first run; a tensor that the file does not store is zeros."""
    kind = type(value).__name__
    if kind != "Tensor":
        return getattr(value, _FIELDS[kind]) if kind in _FIELDS else None
    planned, stored = value.allocation_info, value.data_buffer_idx
    if planned is None:
        raw = file.program.constant_buffer[stored].storage if stored else bytes(_size(value))
        return _strided(torch.frombuffer(bytearray(raw) or bytearray(1), dtype=torch.uint8), value)
    begin = planned.memory_offset_low + (planned.memory_offset_high << 32)
    found = _strided(memory[planned.memory_id][begin:], value)
    if stored:  # a state whose initial value is not zero
        raw = bytearray(file.mutable_data[stored].storage)
        found.copy_(_strided(torch.frombuffer(raw, dtype=torch.uint8), value))
    return found


def _strided(raw: torch.Tensor, value: Any) -> torch.Tensor:
    """The tensor in the first bytes of `raw`, with its dimensions in memory in the order `dim_order`."""
    flat = raw[: _size(value)].view(_dtype(value))
    whole = flat.reshape([value.sizes[axis] for axis in value.dim_order])
    return whole.permute([int(axis) for axis in np.argsort(value.dim_order)])


def _size(value: Any) -> int:
    return int(np.prod(value.sizes, dtype=np.int64)) * _dtype(value).itemsize


def _dtype(tensor: Any) -> torch.dtype:
    name = dtype_name(tensor)
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise BundleError(f"tensors of {name} cannot be computed with here")
    return found
