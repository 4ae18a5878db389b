"""Branches, loops, and lists of tensors (`iOS15/control_flow.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Inputs, Op, Value

_DTYPES = {"fp16": torch.float32, "fp32": torch.float32, "int32": torch.int32, "bool": torch.bool}


def cond(inputs: Inputs) -> tuple[Value, ...]:
    """The outputs of the first block if `pred` is true, else those of the second."""
    return inputs.blocks[0 if inputs.flag("pred") else 1]()


def while_loop(inputs: Inputs) -> tuple[Value, ...]:
    """Replace `loop_vars` by the outputs of the second block while the first block returns true."""
    condition, body = inputs.blocks
    variables = inputs.values["loop_vars"]
    assert isinstance(variables, tuple)
    while _is_true(condition(*variables)[0]):
        variables = body(*variables)
    return variables


def _is_true(value: Value) -> bool:
    return isinstance(value, torch.Tensor) and bool(value)


def select(inputs: Inputs) -> torch.Tensor:
    """`a` where `cond` is true, else `b`."""
    return torch.where(inputs["cond"], inputs["a"], inputs["b"])


def make_list(inputs: Inputs) -> tuple[Value]:
    """A list of zeros. Elements whose shape the program does not declare are empty until they are written."""
    sizes = inputs.values["elem_shape"]
    assert isinstance(sizes, tuple)
    known = [int(size) for size in sizes if isinstance(size, torch.Tensor)]
    shape = known if len(known) == len(sizes) else [0]
    empty = torch.zeros(shape, dtype=_DTYPES[inputs.text("dtype")])
    elements: Value = (empty,) * inputs.integer("init_length")
    return (elements,)


def list_length(inputs: Inputs) -> torch.Tensor:
    """The number of elements of a list."""
    return torch.tensor(len(inputs.several("ls")), dtype=torch.int32)


def list_write(inputs: Inputs) -> tuple[Value]:
    """The list with one element replaced. An index past the end extends the list."""
    return _written(inputs.several("ls"), [(inputs.integer("index"), inputs["value"])])


def list_scatter(inputs: Inputs) -> tuple[Value]:
    """The list with several elements replaced by the rows of `value`."""
    return _written(inputs.several("ls"), list(zip(inputs.ints("indices"), inputs["value"].unbind())))


def _written(elements: tuple[torch.Tensor, ...], writes: list[tuple[int, torch.Tensor]]) -> tuple[Value]:
    new = list(elements)
    for index, value in writes:
        new += [torch.zeros_like(value) for _ in range(index + 1 - len(new))]
        new[index] = value
    return (tuple(new),)


def list_read(inputs: Inputs) -> torch.Tensor:
    """One element."""
    return inputs.several("ls")[inputs.integer("index")]


def list_gather(inputs: Inputs) -> torch.Tensor:
    """Several elements as one tensor [indices, *element]."""
    elements = inputs.several("ls")
    return torch.stack([elements[index] for index in inputs.ints("indices")])


OPS: Mapping[str, Op] = {
    "cond": cond,
    "while_loop": while_loop,
    "select": select,
    "make_list": make_list,
    "list_length": list_length,
    "list_write": list_write,
    "list_scatter": list_scatter,
    "list_read": list_read,
    "list_gather": list_gather,
}
