"""What a Core ML package (`.mlpackage`) or model (`.mlmodel`) contains.

The protobuf classes of coremltools read the specification. The size of a weight is that of its entry in the
weights file, so compressed weights count with the bytes that they take. ML Programs and neural networks are
described operator by operator, other kinds of models by their interface and size only.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from coremltools.proto import FeatureTypes_pb2, MIL_pb2

from edgepack.emulator.coreml.specification import parsed, readable
from edgepack.formats.coreml import layers as paths
from edgepack.formats.description import Description, Tensor
from edgepack.formats.weighted_operators import Constant, Operator, layers, quantized

_ENTRY = struct.Struct("<IIQQ")
"""An entry of a weights file: mark, type, bytes and offset of the data (MILBlob's blob_metadata)."""
_MARK = 0xDEADBEEF
_COUNTED = re.compile(r"(op|var)_\d+")
_WEIGHTED = frozenset(
    {"conv", "conv_transpose", "linear", "matmul", "einsum", "gather", "lstm", "gru", "rnn"}
    | {"convolution", "innerProduct", "batchedMatmul", "embedding", "embeddingND"}
    | {"uniDirectionalLSTM", "biDirectionalLSTM", "simpleRecurrent"}
)
_FLOATS = frozenset({"fp64", "fp32", "fp16", "bf16", "sparse"})
_DATA = ("val", "quantized_data", "data", "nonzero_data", "indices", "indices_nonzero_data", "source_val")
"""Names of the argument with the values of a constant; it depends on the operation."""
_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
_PIPELINES = ("pipeline", "pipelineClassifier", "pipelineRegressor")


def describe(path: Path) -> Description:
    """What the model at `path` contains. Raises BundleError where it cannot be read."""
    with readable(path):
        spec, folder = parsed(path)
        return _description(spec, list(_operators(spec, folder)))


def operators(path: Path) -> list[Operator]:
    """The operations of the model at `path`. Raises BundleError where it cannot be read."""
    with readable(path):
        return list(_operators(*parsed(path)))


def _description(spec: Any, operators: list[Operator]) -> Description:
    share, floats = quantized(
        [
            (each.name, each.weight.precision not in _FLOATS)
            for each in operators
            if each.weight and each.kind in _WEIGHTED
        ]
    )
    features = _features(spec)
    return Description(
        format="coreml",
        inputs=tuple(_tensor(each) for each in features.input),
        outputs=tuple(_tensor(each) for each in features.output),
        operators=dict(Counter(each.kind for each in operators).most_common()),
        layers=layers(operators),
        quantized=share,
        kept_float=floats,
        metadata=tuple(_metadata(spec)),
    )


def _features(spec: Any) -> Any:
    """What declares the interface: the model, or its default function."""
    default = spec.description.defaultFunctionName
    functions = [each for each in spec.description.functions if each.name == default]
    return functions[0] if functions else spec.description


def _tensor(feature: Any) -> Tensor:
    kind = feature.type.WhichOneof("Type") or "unknown"
    declared: Any = getattr(feature.type, kind, None)
    if kind == "imageType":
        colour = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(declared.colorSpace)
        flexible = declared.WhichOneof("SizeFlexibility")
        return Tensor(
            feature.name, f"image {colour}", (-1, -1) if flexible else (declared.height, declared.width)
        )
    if kind == "multiArrayType":
        dtype = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(declared.dataType).lower()
        return Tensor(feature.name, dtype.replace("double", "float64"), _shape(declared))
    return Tensor(feature.name, kind.removesuffix("Type"), ())


def _shape(array: Any) -> tuple[int, ...]:
    """Dimensions; -1 for one that may differ from run to run."""
    flexible = array.WhichOneof("ShapeFlexibility")
    if flexible == "enumeratedShapes":
        columns = zip(*(each.shape for each in array.enumeratedShapes.shapes))
        return tuple(column[0] if len(set(column)) == 1 else -1 for column in columns)
    if flexible == "shapeRange":
        ranges = array.shapeRange.sizeRanges
        return tuple(each.lowerBound if each.lowerBound == each.upperBound else -1 for each in ranges)
    return tuple(array.shape)


def _metadata(spec: Any) -> Iterator[tuple[str, str]]:
    kind = spec.WhichOneof("Type")
    yield "kind", kind
    yield "specification", str(spec.specificationVersion)
    if kind == "mlProgram":
        yield "opset", ", ".join(sorted({each.opset for each in spec.mlProgram.functions.values()}))
        yield "functions", ", ".join(sorted(spec.mlProgram.functions))
    if labels := _labels(spec):
        yield "labels", str(labels)
    described = spec.description.metadata
    for name in ("shortDescription", "versionString", "author", "license"):
        if getattr(described, name):
            yield name, getattr(described, name)
    yield from sorted(described.userDefined.items())


def _labels(spec: Any) -> int:
    """Number of a classifier's classes; 0 for other models."""
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        classes = [
            each.inputs["classes"].arguments[0].value.type.listType.length.constant.size
            for each in _operations(spec.mlProgram)
            if each.type == "classify" and each.inputs["classes"].arguments
        ]
        return int(max(classes, default=0))
    model = getattr(spec, kind)
    names = ("stringClassLabels", "int64ClassLabels")
    return max((len(getattr(model, name).vector) for name in names if hasattr(model, name)), default=0)


def _operators(spec: Any, folder: Path) -> Iterator[Operator]:
    kind = spec.WhichOneof("Type")
    model = getattr(spec, kind)
    if kind == "mlProgram":
        yield from _Program(folder, paths.read(spec.description.metadata.userDefined)).operators(model)
    elif kind in _NETWORKS:
        for layer in model.layers:
            yield Operator(layer.name, layer.WhichOneof("layer") or "unknown", tuple(_weights(layer, "")))
    elif kind in _PIPELINES:
        for inner in getattr(model, "pipeline", model).models:
            yield from _operators(inner, folder)
    else:
        yield Operator(kind, kind, (Constant("unknown", 0, model.ByteSize()),))


def _weights(message: Any, name: str) -> Iterator[Constant]:
    """All weights in a layer of a neural network, nested or not; one with 'bias' in its name counts as a
    vector."""
    if message.DESCRIPTOR.name == "WeightParams":
        table = message.quantization.WhichOneof("QuantizationType") == "lookupTableQuantization"
        raw = f"{'p' if table else 'int'}{message.quantization.numberOfBits}"
        sizes = [(4 * len(message.floatValue), "fp32"), (len(message.float16Value), "fp16")]
        sizes += [(len(message.rawValue), raw), (len(message.int8RawValue), "int8")]
        size = sum(size for size, _ in sizes) + message.quantization.ByteSize()
        yield Constant(max(sizes)[1], 1 if "bias" in name.lower() else 2, size)
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in (value,) if hasattr(value, "ListFields") else value:
                if hasattr(each, "ListFields"):  # a map's keys have none
                    yield from _weights(each, field.name)


def _operations(program: Any) -> Iterator[Any]:
    """Operations of all functions in order, with those of nested blocks."""
    for name in sorted(program.functions):
        yield from _inside(program.functions[name].block_specializations.values())


def _inside(blocks: Iterable[Any]) -> Iterator[Any]:
    for operation in (each for block in blocks for each in block.operations):
        yield operation
        yield from _inside(operation.blocks)


class _Program:
    """An ML Program and its weights files."""

    def __init__(self, folder: Path, paths: Mapping[str, str]) -> None:
        self._folder = folder
        self._paths = paths
        self._files: dict[str, bytes] = {}
        self._claimed: set[tuple[str, int]] = set()
        self._constants: dict[str, Constant] = {}

    def operators(self, program: Any) -> Iterator[Operator]:
        """All operations except `const`; the bytes of a constant count for the first one that uses it."""
        seen: Counter[str] = Counter()
        for operation in _operations(program):
            seen[operation.type] += 1
            constants = tuple(self._read(operation))
            if operation.type == "const" or operation.type.startswith("constexpr_"):
                joined = self._joined(operation, sum(each.bytes for each in constants))
                for output in operation.outputs:
                    self._constants[output.name] = replace(joined, bytes=0)
                self._constants[operation.outputs[-1].name] = joined  # a mask, if any, is the first output
                constants = ()
            if operation.type != "const":
                name = self._name(operation, seen[operation.type])
                yield Operator(name, operation.type, constants)

    def _name(self, operation: Any, number: int) -> str:
        """The layer's module path, else the operation's name, or its type and number where the name is a
        number that the converter assigned."""
        given = operation.attributes["name"].immediateValue.tensor.strings.values
        name = str(given[0]) if given else next((each.name for each in operation.outputs), "")
        counted = not name or _COUNTED.match(name)
        return f"{operation.type} #{number}" if counted else self._paths.get(name, name)

    def _read(self, operation: Any) -> Iterator[Constant]:
        """The constants that an operation reads: values inside it, and constants that it names.

        The bytes of a named one count once.
        """
        values = [value for key, value in operation.attributes.items() if key != "name"]
        for argument in (each for part in operation.inputs.values() for each in part.arguments):
            if argument.WhichOneof("binding") == "value":
                values.append(argument.value)
            elif argument.name in self._constants:
                constant = self._constants[argument.name]
                self._constants[argument.name] = replace(constant, bytes=0)
                yield constant
        for value in values:
            rank, precision = value.type.tensorType.rank, _dtype(value)
            if value.WhichOneof("value") == "blobFileValue":
                yield Constant(precision, rank, self._size(value.blobFileValue))
            elif rank > (0 if precision in _FLOATS else 1):  # the rest are parameters, such as strides
                yield Constant(precision, rank, value.immediateValue.ByteSize())

    def _joined(self, operation: Any, size: int) -> Constant:
        """A constant of `size` bytes, with the precision of its data and the rank of its result."""
        given = {key: part.arguments[0] for key, part in operation.inputs.items()}
        named = {key: part.name for key, part in given.items() if part.WhichOneof("binding") == "name"}
        values = {**operation.attributes, **{key: part.value for key, part in given.items()}}
        key = next(key for key in _DATA if key in values)
        if key in named:
            precision = self._constants[named[key]].precision
        else:
            precision = _palette(values[key], values["lut"]) if "lut" in values else _dtype(values[key])
        if "sparse" in operation.type and not precision.startswith("sparse"):
            precision = "sparse" if precision in _FLOATS else f"sparse {precision}"
        return Constant(precision, operation.outputs[-1].type.tensorType.rank, size)

    def _size(self, value: Any) -> int:
        """Bytes of an entry of a weights file; 0 for one that is counted already."""
        name, offset = value.fileName, value.offset
        if name not in self._files:
            self._files[name] = (self._folder / name.removeprefix("@model_path/")).read_bytes()
        entry = self._files[name][offset : offset + _ENTRY.size].ljust(_ENTRY.size, b"\0")
        mark, _, size, begin = _ENTRY.unpack(entry)
        if mark != _MARK or begin + size > len(self._files[name]):
            raise ValueError(f"{Path(name).name} does not hold the weights that the model names")
        first = (name, offset) not in self._claimed
        self._claimed.add((name, offset))
        return int(size) if first else 0


def _dtype(value: Any) -> str:
    name = MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    return str(name).lower().replace("bfloat", "bf").replace("float", "fp")


def _palette(indices: Any, table: Any) -> str:
    """`p6` for 64 entries: by the type of the indices, or by the table if the indices are bytes."""
    bits = int(_dtype(indices).removeprefix("uint"))
    sizes = [each.constant.size for each in table.type.tensorType.dimensions]
    entries = sizes[-2] if len(sizes) > 1 else sizes[0]  # since iOS 18 the last dimension is a vector's
    return f"p{bits if bits < 8 else round(math.log2(entries))}"
