"""Embeddings in int8: a table of codes with one scale for each row, made float after rows are looked up.

Plain operators do it, so that any runtime of the file's operator set computes it, and no runtime has the
table in float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from edgepack.arrays import Array
from edgepack.formats.onnx import capability_table
from edgepack.graph.layers import path_of
from edgepack.graph.quantization_grid import LEAST_STEP, greatest_weight_code
from edgepack.recipe import Recipe

_LAST = greatest_weight_code(8)


def quantize(model: onnx.ModelProto, recipe: Recipe) -> None:
    """Quantize, in place, the tables whose scheme in the recipe has integer weights per channel."""
    tables = {each.name: each for each in model.graph.initializer}
    done: dict[str, tuple[str, str]] = {}
    for number, node in reversed(list(enumerate(model.graph.node))):
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or not _is_quantized(node, table, recipe):
            continue
        if table.name not in done:
            done[table.name] = _stored(model, table)
        made = _lookup(node, *done[table.name])
        del model.graph.node[number]
        for each in reversed(made):
            model.graph.node.insert(number, each)
    read = {name for node in model.graph.node for name in node.input}
    for name in done.keys() - read:  # a tied linear layer may still read it
        model.graph.initializer.remove(tables[name])
    if done and not any(each.name in done for each in model.graph.initializer):
        stale = [value for value in model.graph.value_info if value.name in done]
        for value in stale:
            model.graph.value_info.remove(value)


def _is_quantized(node: onnx.NodeProto, table: onnx.TensorProto, recipe: Recipe) -> bool:
    """Whether a lookup is of rows of floats whose scheme the format carries in integers."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
    if axis != 0 or len(table.dims) != 2 or table.data_type != onnx.TensorProto.FLOAT:
        return False
    scheme = recipe.at(path_of(table.name))
    values = table.dims[0] * table.dims[1]
    reason = capability_table.CPU.float_reason(scheme.name, "embedding", values)
    return scheme.has_integer_channels and not reason


def _stored(model: onnx.ModelProto, table: onnx.TensorProto) -> tuple[str, str]:
    """The names of a table's codes and of its scales, which are added to the model."""
    codes, scales = _codes(onnx.numpy_helper.to_array(table))
    names = f"{table.name}_quantized", f"{table.name}_scales"
    for name, values in zip(names, (codes, scales)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return names


def _codes(table: Array) -> tuple[Array, Array]:
    """int8 codes of a table [rows, width], symmetric, and the scale of each row."""
    scales = np.maximum(np.abs(table).max(axis=1), LEAST_STEP).astype(np.float32) / np.float32(_LAST)
    return np.rint(table / scales[:, None]).clip(-_LAST, _LAST).astype(np.int8), scales


def _lookup(node: onnx.NodeProto, codes: str, scales: str) -> list[Any]:
    """The nodes that look up rows of codes and their scales, and multiply them."""
    indices, output = node.input[1], node.output[0]
    axes = f"{node.name}_axes"
    make = onnx.helper.make_node
    last = onnx.numpy_helper.from_array(np.array([-1], np.int64), axes)
    made = [
        make("Gather", [codes, indices], [f"{output}_codes"], name=node.name),
        make("Cast", [f"{output}_codes"], [f"{output}_steps"], to=onnx.TensorProto.FLOAT),
        make("Gather", [scales, indices], [f"{output}_scale"]),
        make("Constant", [], [axes], value=last),
        make("Unsqueeze", [f"{output}_scale", axes], [f"{output}_column"]),
        make("Mul", [f"{output}_steps", f"{output}_column"], [output]),
    ]
    for number, each in enumerate(made[1:]):
        each.name = f"{node.name}_{number}"
    made[0].metadata_props.extend(node.metadata_props)
    return made
