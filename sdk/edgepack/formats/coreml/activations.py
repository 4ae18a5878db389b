"""int8 activations in a MIL program: quantize and dequantize around the inputs and outputs of layers.

coremltools' own passes need predictions, which exist on macOS only, and put a pair between a
convolution and the clip after it; here ranges come with the source, and a clamp belongs to its layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from torch.fx import GraphModule

from edgepack.errors import ExportError
from edgepack.formats.coreml.trace import Names
from edgepack.graph import ranges as observed
from edgepack.model.source import Source
from edgepack.recipe import Recipe

Range = tuple[float, float]

LAYERS = frozenset({"conv", "linear"})
"""Operators that Core ML computes in int8 between a dequantize and a quantize."""
_CLAMPS = frozenset({"relu", "relu6", "clip"})
_MOVES = frozenset({"reshape", "transpose", "squeeze", "expand_dims", "max_pool", "pad"})
"""Operators whose output has the values of their input."""
_LEVELS = 255
_LEAST = float(np.finfo(np.float16).tiny)
"""The smallest scale that 16-bit floats hold to full precision."""


def ranges(source: Source, recipe: Recipe) -> Mapping[str, Range]:
    """Ranges of activations by node: the source's, else least and greatest on its calibration samples.

    Empty where the recipe quantizes none. Raises ExportError where there are no samples.
    """
    if not any(scheme.has_static_activations for scheme in recipe.schemes):
        return {}
    if source.ranges:
        return source.ranges
    if source.calib is None:
        raise ExportError("w8a8 needs samples to calibrate on", hint="give some with --calib")
    graph = source.exported.module()
    assert isinstance(graph, GraphModule)
    with torch.no_grad():
        seen = observed.observe(graph, source.calib, lambda node: node.op != "get_attr")
    return {name: observed.min_max(each) for name, each in seen.items()}


@dataclass
class Activations:
    """Quantizes activations to unsigned 8 bits; afterwards `unranged` names those that had no range."""

    names: Names
    recipe: Recipe
    ranges: Mapping[str, Range]
    """(low, high) by node."""
    unranged: list[str] = field(default_factory=list)

    def apply(self, prog: Any) -> None:
        """Change `prog` in place."""
        for function in prog.functions.values():
            with function:
                self._block(function)

    def _block(self, block: Any) -> None:
        _name_relu6(block)
        for value in self._wanted(block):
            within = self._range(value)
            if within is None:
                layer = self.names.layer(value.op) if value.op is not None else ""
                self.unranged.append(self.names.node(value) or layer or value.name)
            else:
                _insert(block, value, within)

    def _wanted(self, block: Any) -> list[Any]:
        """Inputs of quantized layers, and outputs that other operators read."""
        values: dict[str, Any] = {}
        for operation in block.operations:
            scheme = self.recipe.at(self.names.layer(operation))
            if operation.op_type not in LAYERS or not scheme.has_static_activations:
                continue
            read = operation.inputs["x"]
            values[read.name] = read
            while read.op is not None and read.op.op_type == "max_pool":
                read = read.op.inputs["x"]
                values[read.name] = read
            output = _clamped(operation.outputs[0])
            if not _leaves(output, block):
                values[output.name] = output
        return [value for value in values.values() if types.is_float(value.dtype)]

    def _range(self, value: Any) -> Range | None:
        """A value's range: that of the concatenation it is part of, its own, or that of what it moves."""
        readers = {each.op_type for each in value.child_ops}
        if readers == {"concat"} and len(value.child_ops) == 1:
            joined = self.ranges.get(self.names.node(value.child_ops[0].outputs[0]))
            if joined:  # one grid for all parts, so that joining them costs nothing
                return joined
        found = self.ranges.get(self.names.node(value))
        if found is None and value.op is not None and value.op.op_type in _MOVES:
            return self._range(value.op.inputs["x"])
        return found


def _name_relu6(block: Any) -> None:
    """Call a clip between 0 and 6 what Core ML computes with the layer before it: relu6."""
    for operation in list(block.operations):
        if operation.op_type != "clip" or operation.outputs[0] in block.outputs:
            continue
        if (operation.alpha.val, operation.beta.val) == (0, 6):
            value = mb.relu6(x=operation.x, before_op=operation, name=operation.outputs[0].name)
            _replace(block, operation.outputs[0], value)
            block.remove_ops([operation])


def _clamped(value: Any) -> Any:
    """The output of a layer, or of the clamp that alone reads it."""
    readers = value.child_ops
    return readers[0].outputs[0] if len(readers) == 1 and readers[0].op_type in _CLAMPS else value


def _leaves(value: Any, block: Any) -> bool:
    """Whether a value is an output of the model, or becomes one by an activation alone."""
    while len(value.child_ops) == 1 and value.child_ops[0].op_type in ("softmax", "sigmoid", "cast"):
        value = value.child_ops[0].outputs[0]
    return value in block.outputs or all(each.op_type == "classify" for each in value.child_ops)


def _insert(block: Any, value: Any, within: Range) -> None:
    """Quantize and dequantize `value` for all operators that read it."""
    kind = np.float16 if value.dtype == types.fp16 else np.float32
    low, high = min(within[0], 0.0), max(within[1], 0.0)
    scale = kind(max((high - low) / _LEVELS, _LEAST))
    zero = np.uint8(np.clip(round(-low / float(scale)), 0, _LEVELS))
    before = block.operations[0] if value.op is None else _next(block, value.op)
    grid = {"scale": scale, "zero_point": zero, "before_op": before}
    stored = mb.quantize(input=value, output_dtype="uint8", name=f"{value.name}_q", **grid)
    read = mb.dequantize(input=stored, name=f"{value.name}_dq", **grid)
    _replace(block, value, read)


def _replace(block: Any, old: Any, new: Any) -> None:
    """Make all operators after `new` that read `old` read `new`; the outputs of the block stay."""
    block.replace_uses_of_var_after_op(
        anchor_op=new.op, old_var=old, new_var=new, end_op=list(block.operations)[-1]
    )


def _next(block: Any, operation: Any) -> Any:
    """The operation after `operation`."""
    operations = list(block.operations)
    return operations[operations.index(operation) + 1]
