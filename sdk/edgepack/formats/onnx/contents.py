"""What an ONNX file (`.onnx`) or an ONNX Runtime file (`.ort`) contains.

Nothing is run, and only the size of external data is read. An `.ort` is read by ONNX Runtime's own schema
into an ONNX model without its data. ONNX Runtime has optimized it, so its operators are the fused ones.
"""

from __future__ import annotations

import math
import os
import re
from ast import literal_eval
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from edgepack.errors import BundleError
from edgepack.formats.description import Description, Layer, Tensor
from edgepack.formats.onnx.float_graph import TRANSPOSED
from edgepack.formats.weighted_operators import Constant, Operator, quantized

_PRECISIONS = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64"}
_DTYPES = {"float": "float32", "double": "float64"}
_FLOATS = frozenset(_PRECISIONS.values())
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 4, 8, 16))

_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "QLinearConvTranspose"}
    | {"FusedConv", "NhwcFusedConv", "MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul"}
    | {"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits", "MatMulBnb4", "MatMulFpQ4"}
    | {"Gemm", "FusedGemm", "QGemm", "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}
    | {"Attention", "QAttention", "EmbedLayerNormalization", "QEmbedLayerNormalization"}
    | {"Gather", "GatherBlockQuantized"}
)
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_CARRIERS = _QUANTIZERS | {"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that only reshape, cast or dequantize: a constant that they read is the weight of the next
operator."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def describe(path: Path) -> Description:
    """What the model at `path` contains. Raises BundleError where it cannot be read."""
    ort = path.suffix == ".ort"
    try:
        data = path.read_bytes()
        model = _from_ort(data) if ort else ModelProto.FromString(data)
        if not model.opset_import or not model.graph.output:
            raise ValueError("it has no operator set or no outputs")
        return _description(model, path.parent)
    except OSError as cause:
        where = cause.filename or path
        raise BundleError(f"{where} cannot be read: {cause.strerror or cause}") from cause
    except Exception as cause:  # damaged bytes end in any error of protobuf, flatbuffers or struct
        kind = "an ONNX Runtime model (.ort)" if ort else "an ONNX model"
        raise BundleError(f"{path} is not {kind}, or is damaged: {cause}") from cause


def _description(model: ModelProto, folder: Path) -> Description:
    graph = _Graph(model, folder)
    share, floats = quantized(
        [(graph.name(node), graph.is_integer(node)) for node in graph.nodes if graph.weight(node)]
    )
    stored = {each.name for each in model.graph.initializer}
    return Description(
        format="onnx",
        inputs=tuple(_tensor(each) for each in model.graph.input if each.name not in stored),
        outputs=tuple(_tensor(each) for each in model.graph.output),
        operators=dict(Counter(_operator(node) for node in graph.nodes).most_common()),
        layers=tuple(sorted(graph.layers(), key=lambda each: (-each.bytes, each.name))),
        quantized=share,
        kept_float=floats,
        metadata=_metadata(model),
    )


class _Graph:
    """The nodes of a model, with those of subgraphs and functions, and the operator of every constant."""

    def __init__(self, model: ModelProto, folder: Path) -> None:
        self.nodes: list[NodeProto] = []
        self._constants: dict[str, Constant] = {}
        self._folder = folder
        self._add(model.graph)
        for function in model.functions:
            self._add_nodes(function.node)
        self._makers = {output: node for node in self.nodes for output in node.output}
        self._users: dict[str, list[int]] = defaultdict(list)
        for position, node in enumerate(self.nodes):
            for name in node.input:
                self._users[name].append(position)

    def _add(self, graph: GraphProto) -> None:
        for tensor in graph.initializer:
            self._constants[tensor.name] = _stored(tensor, self._folder)
        for sparse in graph.sparse_initializer:
            values, indices = (_stored(each, self._folder) for each in (sparse.values, sparse.indices))
            constant = Constant(values.precision, len(sparse.dims), values.bytes + indices.bytes)
            self._constants[sparse.values.name] = constant
        self._add_nodes(graph.node)

    def _add_nodes(self, nodes: Any) -> None:
        for node in nodes:
            held = [each.t for each in node.attribute if each.HasField("t")]
            if node.op_type == "Constant":
                self._constants.update((node.output[0], _stored(each, self._folder)) for each in held)
                continue
            self.nodes.append(node)
            for each in node.attribute:
                for inner in (*each.graphs, *([each.g] if each.HasField("g") else ())):
                    self._add(inner)

    def layers(self) -> Iterator[Layer]:
        """Operators with constants; the bytes of a shared constant count for its first user."""
        owned: dict[int, list[Constant]] = defaultdict(list)
        claimed: set[str] = set()
        for position, node in enumerate(self.nodes):
            for name in node.input:
                if name in self._constants and name not in claimed:
                    claimed.add(name)
                    owned[self._owner(position, name)].append(self._constants[name])
        for position, constants in owned.items():
            node = self.nodes[position]
            layer = Operator(self.name(node), _operator(node), tuple(constants)).layer
            bits = next((each.i for each in node.attribute if each.name == "bits"), 0)
            yield replace(layer, precision=f"int{bits}") if bits else layer  # packed into bytes

    def _owner(self, position: int, name: str) -> int:
        """The first operator that uses `name` and is no carrier; the node at `position` reads `name`."""
        seen = {position}
        node = self.nodes[position]
        while node.op_type in _QUANTIZERS or (node.op_type in _CARRIERS and node.input[0] == name):
            following = [each for output in node.output for each in self._users[output]]
            if not following or following[0] in seen:
                break
            position, name = following[0], node.output[0]
            seen.add(position)
            node = self.nodes[position]
        return position

    def weight(self, node: NodeProto) -> str:
        """The input that is the weight: the largest constant that is no vector; empty where there is none."""
        if node.op_type not in _WEIGHTED:
            return ""
        sizes = {}
        for name in node.input:
            constant = self._constants.get(self._chain(name)[-1])
            if constant and constant.rank > 1 and constant.precision in _FLOATS | _INTEGERS:
                sizes[name] = constant.bytes
        return max(sizes, key=lambda name: sizes[name], default="")

    def is_integer(self, node: NodeProto) -> bool:
        """Whether the weight is stored in integers, or quantized before its operator reads it."""
        chain = self._chain(self.weight(node))
        makers = [self._makers[each].op_type for each in chain[:-1]]
        return self._constants[chain[-1]].precision in _INTEGERS or "QuantizeLinear" in makers

    def _chain(self, name: str) -> list[str]:
        """`name` and the values that it is computed from, up to the constant."""
        chain = [name]
        maker = self._makers.get(name)
        while maker and maker.op_type in _CARRIERS and maker.input[0] not in chain:
            chain.append(maker.input[0])
            maker = self._makers.get(chain[-1])
        return chain

    def name(self, node: NodeProto) -> str:
        """The module path in the name of the weight, else the node's scope, its name or its output.

        The weight comes first: where batch norm is folded, the scope is that of the batch norm.
        """
        weight = self.weight(node)
        stored = self._chain(weight)[-1].removesuffix("_quantized").removesuffix(TRANSPOSED) if weight else ""
        path = stored.removesuffix(".weight") if stored.endswith(".weight") else _scope(node)
        return path or node.name or next(iter(node.output), node.op_type)


def _operator(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _scope(node: NodeProto) -> str:
    """The innermost module of torch's `['', 'features', 'features.0', 'conv2d']`; empty without one."""
    written = next((each.value for each in node.metadata_props if each.key == _SCOPES), "[]")
    names = literal_eval(written)
    return str(names[-2]) if len(names) > 1 else ""


def _stored(tensor: TensorProto, folder: Path) -> Constant:
    """A tensor's precision, rank and bytes.

    Raises OSError or ValueError where its external file is absent or too short.
    """
    kind = TensorProto.DataType.Name(tensor.data_type).lower()
    width = {"float": 32, "double": 64, "bool": 8}.get(kind) or int((re.findall(r"\d+", kind) or [0])[0])
    size = math.ceil(math.prod(tensor.dims) * width / 8) or tensor.ByteSize()
    if tensor.data_location == TensorProto.EXTERNAL:
        external = {each.key: each.value for each in tensor.external_data}
        size = int(external.get("length", size))
        if (folder / external["location"]).stat().st_size < int(external.get("offset", 0)) + size:
            raise ValueError(f"{external['location']}, which holds its weights, is too short")
    return Constant(_PRECISIONS.get(kind, kind), len(tensor.dims), size)


def _tensor(value: ValueInfoProto) -> Tensor:
    kind = value.type.WhichOneof("value") or "unknown"
    if kind != "tensor_type":
        return Tensor(value.name, kind.removesuffix("_type"), ())
    dtype = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    dims = value.type.tensor_type.shape.dim
    shape = tuple(each.dim_param or (each.dim_value if each.HasField("dim_value") else -1) for each in dims)
    return Tensor(value.name, _DTYPES.get(dtype, dtype), shape)


def _metadata(model: ModelProto) -> tuple[tuple[str, str], ...]:
    opsets = ", ".join(f"{each.domain or 'ai.onnx'} {each.version}" for each in model.opset_import)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    facts = [("producer", producer), ("ir_version", str(model.ir_version)), ("opsets", opsets)]
    facts += [(each.key, each.value) for each in model.metadata_props]
    return tuple((key, value) for key, value in facts if value)


def _from_ort(data: bytes) -> ModelProto:
    """The model in an `.ort`, without its data. Raises errors of struct and NumPy if it is damaged."""
    if data[4:8] != b"ORTM" or len(data) % 4:
        raise ValueError("it does not begin or end as one")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the next import loads ONNX Runtime
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py import fbs

    session = fbs.InferenceSession.InferenceSession.GetRootAs(data, 0)
    model = session.Model()
    proto = ModelProto(ir_version=model.IrVersion(), producer_name=_text(model.ProducerName()))
    proto.producer_version = _text(model.ProducerVersion())
    for each in _all(model, "OpsetImport"):
        proto.opset_import.add(domain=_text(each.Domain()), version=each.Version())
    proto.metadata_props.add(key="onnxruntime_format", value=_text(session.OrtVersion()))
    for each in _all(model, "MetadataProps"):
        proto.metadata_props.add(key=_text(each.Key()), value=_text(each.Value()))
    _fill(proto.graph, model.Graph(), fbs)
    return proto


def _all(table: Any, vector: str) -> Iterator[Any]:
    """The entries of a flatbuffer table's vector."""
    return (getattr(table, vector)(i) for i in range(getattr(table, f"{vector}Length")()))


def _text(written: bytes | None) -> str:
    return (written or b"").decode()


def _fill(proto: GraphProto, graph: Any, fbs: Any) -> None:
    for each in _all(graph, "Initializers"):
        each.RawDataAsNumpy()  # raises where the file ends before the data does
        proto.initializer.add(name=_text(each.Name()), dims=_all(each, "Dims"), data_type=each.DataType())
    for node in _all(graph, "Nodes"):
        added = proto.node.add(name=_text(node.Name()), op_type=_text(node.OpType()))
        added.domain = _text(node.Domain())
        added.input.extend(_text(each) for each in _all(node, "Inputs"))
        added.output.extend(_text(each) for each in _all(node, "Outputs"))
        for each in _all(node, "Attributes"):
            attribute = added.attribute.add(name=_text(each.Name()), i=each.I())
            if each.Type() == fbs.AttributeType.AttributeType.GRAPH:
                _fill(attribute.g, each.G(), fbs)
    types = {each.Name(): each.Type() for each in _all(graph, "NodeArgs")}
    for vector, values in (("Inputs", proto.input), ("Outputs", proto.output)):
        for name in _all(graph, vector):
            _fill_type(values.add(name=_text(name)), types[name], fbs)


def _fill_type(value: ValueInfoProto, info: Any, fbs: Any) -> None:
    if info.ValueType() != fbs.TypeInfoValue.TypeInfoValue.tensor_type:
        return
    tensor = fbs.TensorTypeAndShape.TensorTypeAndShape()
    tensor.Init(info.Value().Bytes, info.Value().Pos)
    value.type.tensor_type.elem_type = tensor.ElemType()
    for each in _all(tensor.Shape(), "Dim") if tensor.Shape() else ():
        dim = value.type.tensor_type.shape.dim.add()
        if each.Value().DimType() == fbs.DimensionValueType.DimensionValueType.PARAM:
            dim.dim_param = _text(each.Value().DimParam())
        elif each.Value().DimType() == fbs.DimensionValueType.DimensionValueType.VALUE:
            dim.dim_value = each.Value().DimValue()
