"""Quantization of an ONNX model by a recipe: QDQ for ONNX Runtime's CPU kernels or for TensorRT.

A layer is found by its weight's name, which torch's exporter takes from the model; an activation by its
value's name, which is the name of the exported graph's node, so that one calibration serves all formats.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch.fx import GraphModule, Node

from edgepack.arrays import Array, Sample
from edgepack.errors import ExportError
from edgepack.formats import operator_kinds
from edgepack.formats.capability import OperatorKind
from edgepack.formats.onnx import capability_table, embeddings, model_file
from edgepack.formats.onnx.options import Provider
from edgepack.graph.layers import ADDED, path_of
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, Scheme, SchemeName

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_STATIC = sorted({*QLinearOpsRegistry, *QDQRegistry})
"""Operators that ONNX Runtime computes on integers."""
_CLAMPS = ("Clip", "Relu")
"""Operators that the kernel of the layer before computes by the range of its output."""
_GIVES_FLOAT = ["Gemm", "MatMul"]
"""Layers whose int8 kernels have float output: outputs that no int8 operator reads are not quantized."""
_ACTIVATIONS = {
    (8, "cpu"): QuantType.QUInt8,
    (16, "cpu"): QuantType.QInt16,
    (8, "tensorrt"): QuantType.QInt8,
}
"""By bits and execution provider."""


def apply(
    model: onnx.ModelProto, source: Source, recipe: Recipe, provider: Provider, path: Path
) -> tuple[str, ...]:
    """Write `model` at `path` as `recipe` says; returns notes on the layers that stay in float.

    Raises ExportError if ONNX Runtime's quantizer fails on it.
    """
    notes = _notes(source, recipe)
    if recipe.base.is_half and all(scheme.is_float for scheme in recipe.schemes):
        model = _halved(model, recipe)
    elif not all(scheme.is_float for scheme in recipe.schemes):
        try:
            model = _quantized(model, source, recipe, provider, path)
        except (RuntimeError, ValueError, TypeError) as cause:
            raise ExportError(f"onnx cannot be quantized: {type(cause).__name__}: {cause}") from cause
    model_file.save(model, path)
    return notes


def _notes(source: Source, recipe: Recipe) -> tuple[str, ...]:
    """Notes on the layers that stay in fp32 although the recipe has another scheme for them."""
    if all(scheme.is_float for scheme in recipe.schemes) and recipe.base.is_half:
        return ()
    graph = source.exported.module()
    assert isinstance(graph, GraphModule)
    return operator_kinds.kept_float(graph, recipe, partial(_float_reason, graph))


def _float_reason(graph: GraphModule, layer: Node, scheme: SchemeName) -> str:
    table = capability_table.CPU
    return table.by_name[scheme].whole_file or operator_kinds.float_reason(table, graph, layer, scheme)


def _halved(model: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """The model in 16-bit floats, except the layers that the recipe has in fp32."""
    _name_nodes(model)
    wide = [name for name, scheme in _schemes(model, recipe).items() if not scheme.is_half]
    halved: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True, node_block_list=wide)
    return halved


def _quantized(
    model: onnx.ModelProto, source: Source, recipe: Recipe, provider: Provider, path: Path
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(_saved(model, Path(scratch) / "float.onnx"), prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        _name_nodes(model)
        schemes = _schemes(model, recipe)
        if nodes := [name for name, scheme in schemes.items() if scheme.has_dynamic_activations]:
            _split_gemm(model, set(nodes))
            dynamic = Path(scratch) / "dynamic.onnx"
            quantize_dynamic(_saved(model, prepared), dynamic, per_channel=True, nodes_to_quantize=nodes)
            model = onnx.load(dynamic)
        if any(scheme.has_static_activations for scheme in schemes.values()):
            model = _static(model, source, recipe, schemes, provider, Path(scratch))
        _weights_only(model, {name for name, scheme in schemes.items() if scheme.is_weight_only})
        embeddings.quantize(model, recipe)
    return model


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own: quantizers choose by it."""
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
        seen.add(node.name)


def _split_gemm(model: onnx.ModelProto, names: set[str]) -> None:
    """Replace the `Gemm` nodes of these names by `MatMul` and `Add`.

    `quantize_dynamic` takes no Gemm (onnxruntime 1.32), and `quant_pre_process` fuses linear layers into it.
    """
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    for number, node in reversed(list(enumerate(model.graph.node))):
        factors = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        is_plain = factors.get("alpha", 1) == factors.get("beta", 1) == 1 and not factors.get("transA", 0)
        if node.op_type != "Gemm" or node.name not in names or not is_plain:
            continue
        held = constants[node.input[1]]
        weight = onnx.numpy_helper.to_array(held)
        name = _free_name(model, held.name, node)
        weight = np.ascontiguousarray(weight.T) if factors.get("transB", 0) else weight
        if name == held.name:
            held.CopyFrom(onnx.numpy_helper.from_array(weight, name))
            stale = [value for value in model.graph.value_info if value.name == name]
            for value in stale:
                model.graph.value_info.remove(value)
        else:
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
        has_bias = len(node.input) > 2 and bool(node.input[2])
        product = f"{node.output[0]}_product" if has_bias else node.output[0]
        made = [onnx.helper.make_node("MatMul", [node.input[0], name], [product], name=node.name)]
        if has_bias:
            inputs = [product, node.input[2]]
            made.append(onnx.helper.make_node("Add", inputs, [node.output[0]], name=f"{node.name}_bias"))
        del model.graph.node[number]
        for each in reversed(made):
            model.graph.node.insert(number, each)


def _free_name(model: onnx.ModelProto, name: str, node: onnx.NodeProto) -> str:
    """`name` where `node` alone reads the constant; else a name for a copy, of the same layer."""
    readers = sum(name in other.input for other in model.graph.node)
    return name if readers == 1 else f"{name}_of_{node.name}"


def _schemes(model: onnx.ModelProto, recipe: Recipe) -> dict[str, Scheme]:
    """The scheme of each node that has a constant weight; fp32 where the format cannot carry it."""
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    table = capability_table.CPU
    schemes: dict[str, Scheme] = {}
    for node in model.graph.node:
        is_added = len(node.input) > 1 and node.input[1].startswith(ADDED)
        if node.op_type in _WEIGHTED and node.input[1] in constants and not is_added:
            scheme = recipe.at(path_of(node.input[1]))
            values = math.prod(constants[node.input[1]].dims)
            is_float = table.float_reason(scheme.name, _kind(node), values)
            schemes[node.name] = SCHEMES["fp32"] if is_float else scheme
    return schemes


def _kind(node: onnx.NodeProto) -> OperatorKind:
    """The kind of a node as the capability table distinguishes them: the rank of a kernel does not matter."""
    if node.op_type == "ConvTranspose":
        grouped = any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
        return "grouped conv_transpose" if grouped else "conv_transpose2d"
    return "conv2d" if node.op_type == "Conv" else "linear"


def _active(model: onnx.ModelProto, layers: set[str], others: set[str]) -> list[str]:
    """Names of the nodes to quantize: `layers`, their clamps, and operators without weights between them.

    `others` are all layers that are not quantized here.
    """
    reached: set[str] = set()
    outputs: set[str] = set()
    read = _read(model, layers, others)
    names = []
    for node in model.graph.node:
        if node.name in others:
            continue
        if node.name in layers:
            reached.add(node.input[0])
            outputs |= set(node.output)
        else:
            is_clamp = node.op_type in _CLAMPS and bool(outputs & set(node.input))
            is_between = bool(reached & set(node.input) and read & set(node.output))
            if node.op_type not in _STATIC or not (is_clamp or is_between):
                continue
        reached |= set(node.output)
        names.append(node.name)
    return names


def _read(model: onnx.ModelProto, layers: set[str], others: set[str]) -> set[str]:
    """Tensors that reach one of `layers` before any other layer."""
    tensors: set[str] = set()
    for node in reversed(model.graph.node):
        if node.name in layers or (node.name not in others and tensors & set(node.output)):
            tensors |= set(node.input)
    return tensors


def _static(
    model: onnx.ModelProto,
    source: Source,
    recipe: Recipe,
    schemes: dict[str, Scheme],
    provider: Provider,
    scratch: Path,
) -> onnx.ModelProto:
    """QDQ: int8 weights per channel, activations by the calibrated ranges.

    ONNX Runtime's CPU kernels take unsigned 8-bit activations, TensorRT symmetric int8 and float bias. ONNX
    has 16-bit operators from opset 21 on; before it they are ONNX Runtime's own (com.microsoft).
    """
    layers = {name for name, scheme in schemes.items() if scheme.has_static_activations}
    active = _active(model, layers, set(schemes) - layers)
    bits = _activation_bits(model, schemes, active)
    default = recipe.base.activation_bits if recipe.base.has_static_activations else min(bits.values())
    types = {name: _ACTIVATIONS[width, provider] for name, width in bits.items() if width != default}
    options: dict[str, Any] = {"OpTypesToExcludeOutputQuantization": _GIVES_FLOAT}
    options["TensorQuantOverrides"] = {name: [{"quant_type": kind}] for name, kind in types.items()}
    if provider != "cpu":
        options |= {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantizer = QDQQuantizer(
        model,
        True,
        False,
        QuantType.QInt8,
        _ACTIVATIONS[default, provider],
        _ranges(model, source, active, scratch),
        active,
        [],
        _STATIC,
        options,
    )
    quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


def _activation_bits(model: onnx.ModelProto, schemes: dict[str, Scheme], active: list[str]) -> dict[str, int]:
    """Bits of the tensors that static layers read and write, by name.

    Where layers differ in bits, the tensor between them has the greater number. An int8 layer that reads
    such a tensor computes in float.
    """
    bits: dict[str, int] = {}
    written: dict[str, int] = {}
    for node in model.graph.node:
        if node.name not in active:
            continue
        if node.name in schemes:
            width = schemes[node.name].activation_bits
            names = [node.input[0], *node.output]
            written |= dict.fromkeys(node.output, width)
        elif node.op_type in _CLAMPS and node.input[0] in written:
            width, names = written[node.input[0]], list(node.output)
        else:
            continue
        bits |= {name: max(width, bits.get(name, 0)) for name in names}
    return bits


def _ranges(model: onnx.ModelProto, source: Source, active: list[str], scratch: Path) -> TensorsData:
    """Ranges of all tensors that the nodes read or give; what calibration did not name is measured."""
    known = dict(source.ranges)
    placeholders = [node.name for node in source.exported.graph.nodes if node.op == "placeholder"]
    users = placeholders[len(placeholders) - len(source.contract.inputs) :]
    known |= {each.name: known[name] for each, name in zip(source.contract.inputs, users) if name in known}
    chosen = set(active)
    constants = {each.name for each in model.graph.initializer}
    needed = {
        name
        for node in model.graph.node
        if node.name in chosen
        for name in (*node.input, *node.output)
        if name and name not in constants
    }
    data = {name: _pair(known[name]) for name in needed if name in known}
    if needed - set(data):
        data = {**_measured(model, source, scratch), **data}
    return TensorsData(CalibrationMethod.MinMax, data)


def _pair(each: tuple[float, float]) -> tuple[Any, Any]:
    return np.array(each[0], np.float32), np.array(each[1], np.float32)


def _measured(model: onnx.ModelProto, source: Source, scratch: Path) -> dict[str, Any]:
    """Least and greatest of every tensor, by ONNX Runtime's own calibrator on the samples."""
    if source.calib is None:
        raise ExportError("onnx needs calibration samples for static activations (--calib)")
    names = [each.name for each in source.contract.inputs]
    path = _saved(model, scratch / "calibrated.onnx")
    calibrator = create_calibrator(path, _STATIC, str(scratch / "augmented.onnx"))
    calibrator.collect_data(_Reader(source.calib.inputs, names))
    return dict(calibrator.compute_data().items())


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Samples as ONNX Runtime's calibrator takes them."""

    def __init__(self, samples: tuple[Sample, ...], names: list[str]) -> None:
        self._rows: Iterator[Sample] = iter(samples)
        self._names = names

    def get_next(self) -> dict[str, Array] | None:
        row = next(self._rows, None)
        return None if row is None else dict(zip(self._names, row))


def _weights_only(model: onnx.ModelProto, names: set[str]) -> None:
    """int8 weights in place, symmetric, a scale an output channel, made float again when they are read."""
    constants = {each.name: each for each in model.graph.initializer}
    done: set[str] = set()
    for number, node in reversed(list(enumerate(model.graph.node))):
        held = constants.get(node.input[1]) if node.name in names else None
        if held is None or len(held.dims) < 2:
            continue
        axis = _output_axis(node)
        codes, scale = _codes(onnx.numpy_helper.to_array(held), axis)
        whole = f"{held.name}_dequantized"
        if held.name not in done:
            model.graph.initializer.remove(held)
            model.graph.initializer.extend(
                [
                    onnx.numpy_helper.from_array(codes, f"{held.name}_int8"),
                    onnx.numpy_helper.from_array(scale, f"{held.name}_scale"),
                ]
            )
            done.add(held.name)
        read = onnx.helper.make_node(
            "DequantizeLinear", [f"{held.name}_int8", f"{held.name}_scale"], [whole], axis=axis
        )
        read.name = f"{node.name}_weight"
        node.input[1] = whole
        model.graph.node.insert(number, read)


def _output_axis(node: onnx.NodeProto) -> int:
    """The axis of a weight along which the layer's outputs lie."""
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return (
        1 if node.op_type in ("MatMul", "ConvTranspose") or (node.op_type == "Gemm" and not transposed) else 0
    )


def _codes(weight: Array, axis: int) -> tuple[Array, Array]:
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scale = np.maximum(np.abs(weight).max(axis=others), 1e-12).astype(np.float32) / np.float32(127)
    shape = [1] * weight.ndim
    shape[axis] = -1
    codes = np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8)
    return codes, scale
