"""Sizes of named dimensions: a size that the network can take, and what it asks of other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from edgepack.arrays import Sample
from edgepack.contract import Contract, samples
from edgepack.errors import SourceError
from edgepack.graph.layers import ATEN
from edgepack.model import inference
from edgepack.model.flat_model import FlatModel

_TRIED = (16, 32, 64, 128, 224, 256, 512, 8, 4, 2, 1)
"""Sizes of free dimensions, one of which most networks take. A batch has size 1."""
_RECURRENT = frozenset({ATEN.lstm.input, ATEN.gru.input, ATEN.rnn_tanh.input, ATEN.rnn_relu.input})
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
_STEPS = range(2, 10)


def probed(model: FlatModel, contract: Contract) -> tuple[dict[str, int], Sample]:
    """Sizes of the free dimensions at which `model` runs, and its outputs for noise of these sizes.

    Raises SourceError with the first run's error.
    """
    batch = _batch(contract)
    first: SourceError | None = None
    for size in _TRIED if set(contract.free_dims) - batch else (1,):
        sizes = {name: 1 if name in batch else size for name in contract.free_dims}
        try:
            outputs = inference.run(model, samples.synthetic(contract.sized(sizes), count=1).inputs[0])
        except SourceError as cause:
            first = first or cause
        else:
            return sizes, outputs
    assert first is not None
    raise first


def of_sample(contract: Contract, sample: Sample) -> dict[str, int]:
    """Sizes of the free dimensions in one sample."""
    return {
        dim: size
        for declared, array in zip(contract.inputs, sample)
        for dim, size in zip(declared.shape, array.shape)
        if isinstance(dim, str)
    }


def _batch(contract: Contract) -> set[str]:
    """Dimensions that are first wherever they occur."""
    others = {dim for declared in contract.inputs for dim in declared.shape[1:] if isinstance(dim, str)}
    return set(contract.free_dims) - others


def free_example(contract: Contract, sample: Sample) -> tuple[tuple[torch.Tensor, ...], ShapesCollection]:
    """An example for torch.export, and which of its dimensions are free: those that the contract names.

    torch fixes a dimension of size 1, so it is doubled in the example.
    """
    example = []
    shapes = ShapesCollection()
    for array, declared in zip(sample, contract.inputs):
        tensor = torch.from_numpy(array.copy())
        axes = [axis for axis, dim in enumerate(declared.shape) if isinstance(dim, str)]
        for axis in axes:
            tensor = torch.cat([tensor, tensor], dim=axis) if tensor.shape[axis] == 1 else tensor
        example.append(tensor)
        if axes:
            shapes[tensor] = dict.fromkeys(axes, Dim.AUTO)
    return tuple(example), shapes


def check_free(program: ExportedProgram, contract: Contract) -> None:
    """The dimensions that `contract` names are free in `program`. Raises SourceError."""
    for declared, value in zip(contract.inputs, _inputs(program)):
        for dim, size in zip(declared.shape, value.shape):
            if isinstance(dim, str) and is_concrete_int(size):
                raise SourceError(
                    f"dimension {dim} of '{declared.name}' cannot be free: the model takes {size} only",
                    hint=_way_out(program, size),
                )


def _way_out(program: ExportedProgram, size: object) -> str:
    if any(node.target in _RECURRENT for node in program.graph.nodes):
        return f"torch.export fixes the length of a sequence that a recurrent layer reads: declare {size}"
    return (
        "a parameter or a constant has this size, or forward turns the size into a number "
        f"(int(x.shape[…])): declare {size}, or compute with x.shape itself"
    )


def notes(program: ExportedProgram, contract: Contract, sample: Sample) -> list[str]:
    """A note for each free dimension whose size must be a multiple of a number."""
    guards = [compile(each, "guard", "eval") for each in getattr(program, "_guards_code", ())]
    names = [str(name) for name in program.graph_signature.user_inputs]
    found = []
    for wanted in contract.free_dims:
        for multiple in _MULTIPLES if guards else ():
            sizes = [{**of_sample(contract, sample), wanted: multiple * step} for step in _STEPS]
            if all(_holds(guards, names, contract.sized(each)) for each in sizes):
                found += [f"{wanted} must be a multiple of {multiple}"] * (multiple > 1)
                break
    return found


def _holds(guards: list[CodeType], names: list[str], contract: Contract) -> bool:
    """Whether torch's guards hold for inputs of the sizes of `contract`."""
    given = {name: _Shape(declared.shape) for name, declared in zip(names, contract.inputs)}
    try:
        return all(eval(guard, {"__builtins__": {}}, {"L": given}) for guard in guards)
    except (KeyError, NameError, ZeroDivisionError):
        return False


class _Shape:
    """What guards ask of a tensor."""

    def __init__(self, sizes: Sequence[int | str]) -> None:
        self._sizes = sizes

    def size(self) -> Sequence[int | str]:
        return self._sizes


def _inputs(program: ExportedProgram) -> list[torch.Tensor]:
    values: Mapping[str, Any] = {
        node.name: node.meta["val"] for node in program.graph.find_nodes(op="placeholder")
    }
    return [values[str(name)] for name in program.graph_signature.user_inputs]
