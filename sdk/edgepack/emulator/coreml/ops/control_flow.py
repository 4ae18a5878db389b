"""Branches, loops, and lists of tensors (`iOS15/control_flow.py` in coremltools)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgepack.emulator.coreml.operation import Given, Op, Value

_DTYPES = {"fp16": torch.float32, "fp32": torch.float32, "int32": torch.int32, "bool": torch.bool}


def cond(given: Given) -> tuple[Value, ...]:
    """What the first block gives where `pred` is true, else what the second does."""
    return given.blocks[0 if given.flag("pred") else 1]()


def while_loop(given: Given) -> tuple[Value, ...]:
    """`loop_vars` through the second block again and again, while the first block says so."""
    keep_on, body = given.blocks
    held = given.values["loop_vars"]
    assert isinstance(held, tuple)
    while _true(keep_on(*held)[0]):
        held = body(*held)
    return held


def _true(answer: Value) -> bool:
    return isinstance(answer, torch.Tensor) and bool(answer)


def select(given: Given) -> torch.Tensor:
    """`a` where `cond` is true, else `b`."""
    return torch.where(given["cond"], given["a"], given["b"])


def make_list(given: Given) -> tuple[Value]:
    """A list of zeros; where the program leaves the elements' shape open, they are empty until written."""
    sizes = given.values["elem_shape"]
    assert isinstance(sizes, tuple)
    known = [int(size) for size in sizes if isinstance(size, torch.Tensor)]
    shape = known if len(known) == len(sizes) else [0]
    empty = torch.zeros(shape, dtype=_DTYPES[given.text("dtype")])
    elements: Value = (empty,) * given.integer("init_length")
    return (elements,)


def list_length(given: Given) -> torch.Tensor:
    """How many elements a list has."""
    return torch.tensor(len(given.several("ls")), dtype=torch.int32)


def list_write(given: Given) -> tuple[Value]:
    """The list with one element replaced; a list grows by what is written past its end."""
    return _written(given.several("ls"), [(given.integer("index"), given["value"])])


def list_scatter(given: Given) -> tuple[Value]:
    """The list with several elements replaced, the rows of `value`."""
    return _written(given.several("ls"), list(zip(given.ints("indices"), given["value"].unbind())))


def _written(held: tuple[torch.Tensor, ...], writes: list[tuple[int, torch.Tensor]]) -> tuple[Value]:
    new = list(held)
    for index, value in writes:
        new += [torch.zeros_like(value) for _ in range(index + 1 - len(new))]
        new[index] = value
    return (tuple(new),)


def list_read(given: Given) -> torch.Tensor:
    """One element."""
    return given.several("ls")[given.integer("index")]


def list_gather(given: Given) -> torch.Tensor:
    """Several elements as one tensor [indices, *element]."""
    held = given.several("ls")
    return torch.stack([held[index] for index in given.ints("indices")])


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
