"""The float ONNX model of a source, by torch's exporter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch.export import ExportedProgram
from torch.onnx.errors import OnnxExporterError

from edgepack.contract import Contract
from edgepack.formats import tracing
from edgepack.formats.onnx import float_graph, model_file, operators
from edgepack.formats.unsupported_operators import refusal
from edgepack.model.source import Source
from edgepack.silence import quiet

_OLDEST_DYNAMO_OPSET = 18
"""The oldest operator set of torch's exporter; its TorchScript-based one writes older sets."""
_KEPT_METADATA = "pkg.torch.onnx.name_scopes"
"""The module path of a node; torch's other metadata has paths of this machine."""
_OUTER, _INNER = "__of_contract", "__inner"
"""Suffixes of values whose names clash, of inputs and outputs until they are renamed."""


def float_model(source: Source, opset: int, path: Path) -> onnx.ModelProto:
    """The float model of a source. `path` is where it may write.

    Sources that differ only in their weights share one export. Raises ExportError.
    """
    key = f"onnx, opset {opset}"
    before = source.cache.get(key, bytes)
    if before is not None:
        model = onnx.load_from_string(before)
        if _put_weights(model, source.exported):
            return model
    _write(source, path, opset)
    model = onnx.load(path)
    if before is None:
        source.cache.put(key, model.SerializeToString())
    return model


def _put_weights(model: onnx.ModelProto, program: ExportedProgram) -> bool:
    """Put a program's weights into a model of the same graph; False where one has no place in it."""
    weights = {name: tensor.detach().numpy() for name, tensor in program.state_dict.items()}
    found = [each for each in model.graph.initializer if _weight(each.name) in weights]
    if {_weight(each.name) for each in found} != set(weights):
        return False
    for initializer in found:
        name = initializer.name
        weight = weights[_weight(name)]
        weight = weight.T if name.endswith(float_graph.TRANSPOSED) else weight
        if tuple(initializer.dims) != weight.shape:
            return False
        initializer.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(weight), name))
    return True


def _weight(name: str) -> str:
    """The name that a constant's weight has in torch."""
    return name.removesuffix(float_graph.TRANSPOSED)


def _write(source: Source, path: Path, opset: int) -> None:
    contract = source.contract
    legacy = opset < _OLDEST_DYNAMO_OPSET
    model: Any = operators.prepared(source.exported if legacy else source.free)
    if legacy:
        model = tracing.traced(model, source.example)
    taken = {node.name for node in source.free.graph.nodes if node.op == "call_function"}
    try:
        with quiet():
            torch.onnx.export(
                model,
                source.example if legacy else (),
                str(path),
                dynamo=not legacy,
                opset_version=opset,
                input_names=[_free_name(each.name, taken) for each in contract.inputs],
                output_names=[_free_name(each.name, taken) for each in contract.outputs],
                external_data=False,
                verbose=False,
            )
    except (OnnxExporterError, RuntimeError, ValueError) as cause:
        raise refusal("onnx", source.exported, cause) from cause
    written = onnx.load(path)
    _strip(written)
    clashing = [each.name for each in (*contract.inputs, *contract.outputs) if each.name in taken]
    _rename(written.graph, {name: f"{name}{_INNER}" for name in clashing})
    _rename(written.graph, {f"{name}{_OUTER}": name for name in clashing})
    float_graph.rewrite(written, source.exported.state_dict)
    _name_dims(written, contract)
    model_file.save(written, path)


def _free_name(name: str, taken: set[str]) -> str:
    """The name of an input or output for torch's exporter, which gives no other name to an inner value of
    the same name: the file would define it twice."""
    return f"{name}{_OUTER}" if name in taken else name


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values of a graph, in place, in its subgraphs, too."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                _rename(inner, names)
    for each in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        each.name = names.get(each.name, each.name)


def _name_dims(model: onnx.ModelProto, contract: Contract) -> None:
    """Give the free dimensions the contract's names in place of torch's numbers."""
    names = {
        dim.dim_param: wanted
        for value, declared in zip(model.graph.input, contract.inputs)
        for dim, wanted in zip(value.type.tensor_type.shape.dim, declared.shape)
        if dim.dim_param and isinstance(wanted, str)
    }
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def _strip(model: onnx.ModelProto) -> None:
    """Remove what torch writes about this machine: source paths and stack traces."""
    holders = [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    holders += [*model.graph.input, *model.graph.output]
    for function in model.functions:
        holders += [function, *function.node]
    for holder in holders:
        kept = [each for each in holder.metadata_props if each.key == _KEPT_METADATA]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
        holder.doc_string = ""
