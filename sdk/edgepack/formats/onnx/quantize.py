"""Quantization of an ONNX model by a recipe: QDQ for ONNX Runtime's kernels or for TensorRT's.

A layer is known by its weight's name, which torch's exporter takes from the model; an activation by
its value's name, which is that of the exported graph's node, so that one calibration serves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
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

from edgepack.arrays import Array, Sample
from edgepack.errors import ExportError
from edgepack.formats.onnx import model_file
from edgepack.formats.onnx.options import Provider
from edgepack.graph.layers import path_of
from edgepack.model.source import Source
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_STATIC = sorted({*QLinearOpsRegistry, *QDQRegistry})
"""Operators that ONNX Runtime computes in int8, or passes int8 through."""
_CLAMPS = ("Clip", "Relu")
"""What the kernel of the layer before computes by the range of its output."""
_GIVES_FLOAT = ["Gemm", "MatMul"]
"""Layers whose int8 kernels can give floats, so that what no int8 operator reads is left unrounded."""
LEAST_VALUES = 1024
"""Smaller weights cost more in operators than they save."""


def apply(
    model: onnx.ModelProto, source: Source, recipe: Recipe, provider: Provider, path: Path
) -> tuple[str, ...]:
    """Write `model` at `path` as `recipe` says; what the user should know of it.

    Raises ExportError where ONNX Runtime's quantizer fails on it.
    """
    notes = _notes(model, recipe)
    if recipe.scheme == "fp16":
        model = convert_float_to_float16(model, keep_io_types=True)
    elif not recipe.is_float:
        try:
            model = _quantized(model, source, recipe, provider, path)
        except (RuntimeError, ValueError, TypeError) as cause:
            raise ExportError(f"onnx cannot be quantized: {type(cause).__name__}: {cause}") from cause
    model_file.save(model, path)
    return notes


def _notes(model: onnx.ModelProto, recipe: Recipe) -> tuple[str, ...]:
    notes = []
    if half := [path for path, scheme in recipe.layers.items() if scheme == "fp16" != recipe.scheme]:
        notes.append(f"kept in fp32, not fp16, beside quantized layers: {', '.join(half)}")
    paths = [path_of(node.input[1]) for node in model.graph.node if _is_grouped_transposed(node)]
    if kept := [path for path in dict.fromkeys(paths) if recipe.of(path) == "w8a8"]:
        reason = "w8a8: the quantizer takes no grouped transposed convolutions"
        notes.append(f"kept in fp32 ({reason}): {', '.join(kept)}")
    return tuple(notes)


def _is_grouped_transposed(node: onnx.NodeProto) -> bool:
    """Whether a node has fewer scales along its weight's axis of outputs than outputs: onnxruntime 1.32's
    quantizer fails on its bias."""
    return node.op_type == "ConvTranspose" and any(
        each.name == "group" and each.i > 1 for each in node.attribute
    )


def _quantized(
    model: onnx.ModelProto, source: Source, recipe: Recipe, provider: Provider, path: Path
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(_saved(model, Path(scratch) / "float.onnx"), prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        _name_nodes(model)
        schemes = _schemes(model, recipe)
        if "w8d" in schemes.values():
            dynamic = Path(scratch) / "dynamic.onnx"
            nodes = [name for name, scheme in schemes.items() if scheme == "w8d"]
            quantize_dynamic(_saved(model, prepared), dynamic, per_channel=True, nodes_to_quantize=nodes)
            model = onnx.load(dynamic)
        if "w8a8" in schemes.values():
            model = _static(model, source, _active(model, schemes), provider, Path(scratch))
        _weights_only(model, {name for name, scheme in schemes.items() if scheme == "w8"})
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


def _schemes(model: onnx.ModelProto, recipe: Recipe) -> dict[str, SchemeName]:
    """The scheme of each node that has a constant weight, as far as it can be carried."""
    constants = {each.name for each in model.graph.initializer}
    found: dict[str, SchemeName] = {}
    for node in model.graph.node:
        if node.op_type in _WEIGHTED and node.input[1] in constants:
            scheme = recipe.of(path_of(node.input[1]))
            is_refused = scheme == "w8a8" and _is_grouped_transposed(node)
            found[node.name] = "fp32" if is_refused else scheme
    return found


def _active(model: onnx.ModelProto, schemes: dict[str, SchemeName]) -> list[str]:
    """Names of the nodes that compute in int8: layers by their scheme, their clamps, and others between
    such layers."""
    reached: set[str] = set()
    given: set[str] = set()
    wanted = _wanted(model, schemes)
    names = []
    for node in model.graph.node:
        if node.name in schemes:
            if schemes[node.name] != "w8a8":
                continue
            reached.add(node.input[0])
            given |= set(node.output)
        else:
            is_clamp = node.op_type in _CLAMPS and bool(given & set(node.input))
            is_between = bool(reached & set(node.input) and wanted & set(node.output))
            if node.op_type not in _STATIC or not (is_clamp or is_between):
                continue
        reached |= set(node.output)
        names.append(node.name)
    return names


def _wanted(model: onnx.ModelProto, schemes: dict[str, SchemeName]) -> set[str]:
    """Tensors that reach an int8 layer before any other layer."""
    found: set[str] = set()
    for node in reversed(model.graph.node):
        if schemes[node.name] == "w8a8" if node.name in schemes else found & set(node.output):
            found |= set(node.input)
    return found


def _static(
    model: onnx.ModelProto, source: Source, active: list[str], provider: Provider, scratch: Path
) -> onnx.ModelProto:
    """int8 as QDQ: per-channel weights, activations by the calibrated ranges."""
    unsigned = provider == "cpu"
    options: dict[str, Any] = {"OpTypesToExcludeOutputQuantization": _GIVES_FLOAT}
    if not unsigned:
        options |= {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantizer = QDQQuantizer(
        model,
        True,
        False,
        QuantType.QInt8,
        QuantType.QUInt8 if unsigned else QuantType.QInt8,
        _ranges(model, source, active, scratch),
        active,
        [],
        _STATIC,
        options,
    )
    quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


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
        raise ExportError("onnx w8a8 needs calibration samples (--calib)")
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
        if held is None or np.prod(held.dims) < LEAST_VALUES or len(held.dims) < 2:
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
