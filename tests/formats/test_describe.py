"""What `describe` tells of small real files of each format, and that damaged ones are refused."""

from __future__ import annotations

import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgepack import formats
from edgepack.errors import BundleError
from edgepack.formats import Description, Tensor
from edgepack.silence import quiet

CONV, MIX, HEAD = 4 * (8 * 27 + 8), 4 * (16 * 8 + 16), 4 * (10 * 16 + 10)
"""Bytes of the layers of `Net` in float32."""
SHAPE = (1, 3, 16, 16)
DATA = "Data/com.apple.CoreML"
"""Folder of an `.mlpackage`."""


class Net(torch.nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.mix = torch.nn.Conv2d(8, 16, 1)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.mix(torch.relu(self.conv(x))))
        scores: torch.Tensor = self.head(x.mean((2, 3)))
        return scores


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("described")


def sizes(description: Description) -> dict[str, int]:
    return {layer.name: layer.bytes for layer in description.layers}


def precisions(description: Description) -> dict[str, str]:
    return {layer.name: layer.precision for layer in description.layers}


def is_sorted(description: Description) -> bool:
    counts = [layer.bytes for layer in description.layers]
    return counts == sorted(counts, reverse=True) and all(counts)


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        formats.describe(path)
    assert caught.value.__cause__ is not None
    assert path.name in str(caught.value) or "cannot be read" in str(caught.value)
    return str(caught.value)


def damaged(data: bytes) -> Iterator[bytes]:
    """Truncated copies, random bytes, and random bytes behind a right beginning."""
    for keep in (0, 7, len(data) // 10, len(data) // 2, len(data) - 100):
        yield data[:keep]
    noise = random.Random(0)
    for begin in (b"", data[:16], data[:64]):
        yield begin + noise.randbytes(20_000)


def refuse_damaged(path: Path, scratch: Path) -> None:
    for data in damaged(path.read_bytes()):
        copy = scratch / path.name
        copy.write_bytes(data)
        refused(copy)


# onnx


@pytest.fixture(scope="module")
def onnx_float(net: Net, folder: Path) -> Path:
    pytest.importorskip("onnxscript")
    path = folder / "net.onnx"
    with quiet():
        torch.onnx.export(
            net,
            (torch.zeros(SHAPE),),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["image"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return path


@pytest.fixture(scope="module")
def onnx_int8(onnx_float: Path, folder: Path) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        rows = iter([{"image": np.ones(SHAPE, np.float32)}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    path = folder / "net_int8.onnx"
    with quiet():
        quantize_static(
            onnx_float,
            path,
            Reader(),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[_node(onnx_float, "Gemm")],
        )
    return path


def _node(path: Path, operator: str) -> str:
    import onnx

    return str(next(node.name for node in onnx.load(path).graph.node if node.op_type == operator))


@pytest.fixture(scope="module")
def ort(onnx_int8: Path, folder: Path) -> Path:
    import onnxruntime

    path = folder / "net.ort"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(onnx_int8), options, providers=["CPUExecutionProvider"])
    return path


def test_onnx_float(onnx_float: Path) -> None:
    told = formats.describe(onnx_float)
    assert told.format == "onnx"
    assert told.inputs == (Tensor("image", "float32", ("batch", 3, 16, 16)),)
    assert told.outputs == (Tensor("scores", "float32", ("batch", 10)),)
    assert told.operators["Conv"] == 2
    assert told.operators["Relu"] == 2
    assert {"conv": CONV, "mix": MIX, "head": HEAD}.items() <= sizes(told).items()
    assert precisions(told)["conv"] == "fp32"
    assert is_sorted(told)
    assert told.quantized == 0
    assert set(told.kept_float) == {"conv", "mix", "head"}
    assert told.delegated is None
    assert {"producer", "ir_version", "opsets"} <= dict(told.metadata).keys()


def test_onnx_quantized_but_for_one_layer(onnx_int8: Path) -> None:
    told = formats.describe(onnx_int8)
    assert precisions(told)["conv"] == "int8"
    assert precisions(told)["head"] == "fp32"
    assert 8 * 27 + 4 * 8 < sizes(told)["conv"] < CONV
    assert sizes(told)["head"] == HEAD
    assert told.quantized == pytest.approx(2 / 3)
    assert told.kept_float == ("head",)


def test_ort_holds_fused_operators(ort: Path) -> None:
    told = formats.describe(ort)
    assert told.inputs == (Tensor("image", "float32", ("batch", 3, 16, 16)),)
    assert [each.name for each in told.outputs] == ["scores"]
    assert told.operators["QLinearConv"] == 2
    assert precisions(told)["conv"] == "int8"
    assert told.quantized == pytest.approx(2 / 3)
    assert told.kept_float == ("head",)
    assert is_sorted(told)


def test_onnx_external_data_counts_and_is_asked_for(onnx_float: Path, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "outside.onnx"
    onnx.save_model(
        onnx.load(onnx_float), path, save_as_external_data=True, location="outside.bin", size_threshold=0
    )
    assert sizes(formats.describe(path)) == sizes(formats.describe(onnx_float))
    data = (tmp_path / "outside.bin").read_bytes()
    (tmp_path / "outside.bin").write_bytes(data[:-200])
    assert "too short" in refused(path)
    (tmp_path / "outside.bin").unlink()
    assert "outside.bin" in refused(path)


def test_onnx_packed_weights_and_embeddings(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    values = {
        "packed": np.zeros((32, 1, 16), np.uint8),
        "scales": np.ones(32, np.float32),
        "table": np.zeros((50, 4), np.float32),
        "rows": np.zeros(1, np.int64),
    }
    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node(
            "MatMulNBits",
            ["x", "packed", "scales"],
            ["y"],
            name="dense",
            domain="com.microsoft",
            K=32,
            N=32,
            bits=4,
            block_size=32,
        ),
        make.make_node("Gather", ["table", "rows"], ["z"], name="embed"),
    ]
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("x", kinds.FLOAT, [1, 32])],
        [make.make_tensor_value_info("y", kinds.FLOAT, [1, 32])],
        [onnx.numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    opsets = [make.make_opsetid("", 18), make.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "packed.onnx"
    onnx.save(make.make_model(graph, opset_imports=opsets), path)
    told = formats.describe(path)
    assert told.operators == {"com.microsoft.MatMulNBits": 1, "Gather": 1}
    assert precisions(told) == {"dense": "int4", "embed": "fp32"}
    assert told.quantized == 0.5
    assert told.kept_float == ("embed",)


def test_onnx_damaged(onnx_int8: Path, ort: Path, tmp_path: Path) -> None:
    refuse_damaged(onnx_int8, tmp_path)
    refuse_damaged(ort, tmp_path)


# executorch


@pytest.fixture(scope="module")
def lowered(net: Net, folder: Path) -> Callable[[str], Path]:
    """A `.pte` of `Net`: "xnnpack", "portable", or "int8" with the head left in float."""
    pytest.importorskip("executorch")

    def write(kind: str) -> Path:
        path = folder / f"net_{kind}.pte"
        if not path.exists():
            with quiet():
                path.write_bytes(_lowered(net, kind))
        return path

    return write


def _lowered(net: Net, kind: str) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = (torch.ones(SHAPE),)
    program = torch.export.export(net, example, strict=False)
    if kind == "int8":
        config = get_symmetric_quantization_config(is_per_channel=True)
        quantizer = XNNPACKQuantizer().set_operator_type(torch.ops.aten.conv2d.default, config)
        observed = prepare_pt2e(program.module(), quantizer)
        observed(*example)
        program = torch.export.export(convert_pt2e(observed), example, strict=False)
    parts = [] if kind == "portable" else [XnnpackPartitioner()]
    buffer: bytes = to_edge_transform_and_lower(program, partitioner=parts).to_executorch().buffer
    return buffer


def test_executorch_delegated(lowered: Callable[[str], Path]) -> None:
    told = formats.describe(lowered("xnnpack"))
    assert told.format == "executorch"
    assert told.inputs == (Tensor("input_0", "float32", SHAPE),)
    assert told.outputs == (Tensor("output_0", "float32", (1, 10)),)
    assert told.operators["XNNConv2d"] == 2
    assert told.operators["XNNFullyConnected"] == 1
    assert sizes(told) == {"XNNConv2d #1": CONV, "XNNConv2d #2": MIX, "XNNFullyConnected #1": HEAD}
    assert set(precisions(told).values()) == {"fp32"}
    assert is_sorted(told)
    assert told.quantized == 0
    assert len(told.kept_float) == 3
    outside = {name: count for name, count in told.operators.items() if "::" in name}
    assert outside == {"aten::mean": 1}  # XNNPACK's partitioner leaves a mean without keepdim
    assert told.delegated == 1 - 1 / sum(told.operators.values())
    assert dict(told.metadata)["delegates"] == "XnnpackBackend × 2"


def test_executorch_portable(lowered: Callable[[str], Path]) -> None:
    told = formats.describe(lowered("portable"))
    assert told.operators["aten::convolution"] == 2
    assert sum(sizes(told).values()) == CONV + MIX + HEAD
    assert told.delegated == 0


def test_executorch_quantized_but_for_one_layer(lowered: Callable[[str], Path]) -> None:
    told = formats.describe(lowered("int8"))
    assert precisions(told)["XNNConv2d #1"] == "int8"
    assert 8 * 27 < sizes(told)["XNNConv2d #1"] < CONV
    assert told.quantized == pytest.approx(2 / 3)
    assert told.kept_float == ("XNNFullyConnected #1",)


def test_executorch_damaged(lowered: Callable[[str], Path], tmp_path: Path) -> None:
    refuse_damaged(lowered("xnnpack"), tmp_path)
    refuse_damaged(lowered("portable"), tmp_path)


# coreml


@pytest.fixture(scope="module")
def traced(net: Net) -> torch.jit.ScriptModule:
    with quiet():
        script: torch.jit.ScriptModule = torch.jit.trace(net, torch.ones(SHAPE))
    return script


@pytest.fixture(scope="module")
def package(traced: torch.jit.ScriptModule, folder: Path) -> Callable[[str], Path]:
    """An `.mlpackage` of `Net`: "fp16" with picture and labels, "w8", "p6" or "fp32"."""

    def write(kind: str) -> Path:
        path = folder / f"{kind}.mlpackage"
        if not path.exists():
            with quiet():
                _convert(traced, kind).save(str(path))
        return path

    return write


def _convert(traced: torch.jit.ScriptModule, kind: str) -> Any:
    with quiet():
        ct = pytest.importorskip("coremltools")
        import coremltools.optimize.coreml as cto
    classifier = kind == "fp16"
    picture = ct.ImageType(name="picture", shape=SHAPE, scale=1 / 255)
    model = ct.convert(
        traced,
        inputs=[picture if classifier else ct.TensorType(name="x", shape=SHAPE)],
        classifier_config=ct.ClassifierConfig([f"class {i}" for i in range(10)]) if classifier else None,
        compute_precision=ct.precision.FLOAT16 if classifier else ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    if kind == "w8":
        quantize = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=quantize))
    if kind == "p6":
        palette = cto.OpPalettizerConfig(mode="uniform", nbits=6, weight_threshold=200)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
    model.user_defined_metadata["note"] = "kept"
    return model


def test_coreml_classifier_of_pictures(package: Callable[[str], Path]) -> None:
    told = formats.describe(package("fp16"))
    assert told.format == "coreml"
    assert told.inputs == (Tensor("picture", "image RGB", (16, 16)),)
    assert len(told.outputs) == 2
    assert told.operators["conv"] == 2
    assert told.operators["linear"] == 1
    assert "const" not in told.operators
    found = {layer.operator: layer.bytes for layer in told.layers if layer.precision == "fp16"}
    assert found["linear"] == HEAD // 2
    assert is_sorted(told)
    assert told.quantized == 0
    assert len(told.kept_float) == 3
    assert {("labels", "10"), ("note", "kept"), ("kind", "mlProgram")} <= set(told.metadata)


def test_coreml_int8_weights(package: Callable[[str], Path]) -> None:
    told = formats.describe(package("w8"))
    assert told.inputs == (Tensor("x", "float32", SHAPE),)
    assert [each.shape for each in told.outputs] == [(1, 10)]
    assert set(precisions(told).values()) == {"int8"}
    head = next(layer for layer in told.layers if layer.operator == "linear")
    assert 10 * 16 + 4 * 10 < head.bytes < HEAD
    assert told.quantized == 1
    assert told.kept_float == ()


def test_coreml_palettes_of_large_weights(package: Callable[[str], Path]) -> None:
    told = formats.describe(package("p6"))
    assert sorted(precisions(told).values()) == ["fp32", "fp32", "p6"]
    packed = next(layer for layer in told.layers if layer.precision == "p6")
    exact = 8 * 27 * 6 // 8 + 64 * 4 + 8 * 4  # indices, table, bias
    assert exact <= packed.bytes < exact + 20  # the bias stands in the program itself, with its tags
    assert told.quantized == pytest.approx(1 / 3)
    assert len(told.kept_float) == 2


def test_coreml_neural_network(traced: torch.jit.ScriptModule, folder: Path, tmp_path: Path) -> None:
    with quiet():
        ct = pytest.importorskip("coremltools")
        inputs = [ct.TensorType(name="x", shape=SHAPE)]
        model = ct.convert(traced, inputs=inputs, convert_to="neuralnetwork", skip_model_load=True)
        path = folder / "net.mlmodel"
        model.save(str(path))
    told = formats.describe(path)
    assert told.operators["convolution"] == 2
    assert sum(sizes(told).values()) == CONV + MIX + HEAD
    assert told.quantized == 0
    refuse_damaged(path, tmp_path)


@pytest.mark.parametrize("part", ["Manifest.json", f"{DATA}/model.mlmodel", f"{DATA}/weights/weight.bin"])
def test_coreml_damaged(package: Callable[[str], Path], part: str, tmp_path: Path) -> None:
    copy = tmp_path / "net.mlpackage"
    shutil.copytree(package("fp32"), copy)
    for data in damaged((copy / part).read_bytes()):
        (copy / part).write_bytes(data)
        refused(copy)
    (copy / part).unlink()
    refused(copy)


# torchscript


@pytest.fixture(scope="module")
def script(traced: torch.jit.ScriptModule, folder: Path) -> Callable[[str], Path]:
    """A TorchScript file of `Net`: "traced.pt", "frozen.ptl", or "int8.ptl"."""

    def write(name: str) -> Path:
        path = folder / name
        if not path.exists():
            with quiet():
                _save(traced, path)
        return path

    return write


def _save(traced: torch.jit.ScriptModule, path: Path) -> None:
    from torch.ao.quantization import get_default_qconfig
    from torch.ao.quantization.quantize_jit import convert_jit, prepare_jit

    if path.name == "traced.pt":
        traced.save(str(path), _extra_files={"about.txt": b"kept"})
        return
    frozen = torch.jit.freeze(traced)
    if path.name == "int8.ptl":
        engine = torch.backends.quantized.supported_engines[-1]
        with torch.no_grad():
            observed = prepare_jit(frozen, {"": get_default_qconfig(engine)})
            observed(torch.ones(SHAPE))
            frozen = torch.jit.freeze(convert_jit(observed).eval())
    frozen._save_for_lite_interpreter(str(path))


def test_torchscript_attributes_name_layers(script: Callable[[str], Path]) -> None:
    told = formats.describe(script("traced.pt"))
    assert told.format == "torchscript"
    assert told.inputs == (Tensor("x", "Tensor", ()),)
    assert told.outputs == (Tensor("output_0", "Tensor", ()),)
    assert told.operators["aten::_convolution"] == 2
    assert sizes(told) == {"conv": CONV, "mix": MIX, "head": HEAD}
    assert precisions(told) == {"conv": "fp32", "mix": "fp32", "head": "fp32"}
    assert is_sorted(told)
    assert told.quantized == 0
    assert set(told.kept_float) == {"conv", "mix", "head"}
    assert {("lite interpreter", "no"), ("extra file", "about.txt")} <= set(told.metadata)


def test_torchscript_frozen_layers_are_numbered(script: Callable[[str], Path]) -> None:
    told = formats.describe(script("frozen.ptl"))
    assert sizes(told) == {"convolution #1": CONV, "convolution #2": MIX, "linear #1": HEAD}
    assert dict(told.metadata)["lite interpreter"] == "yes"


def test_torchscript_packed_parameters(script: Callable[[str], Path]) -> None:
    told = formats.describe(script("int8.ptl"))
    int8 = {layer.name: layer for layer in told.layers if layer.precision == "int8"}
    assert len(int8) == 3
    assert 10 * 16 + 4 * 10 <= int8["linear #1"].bytes < HEAD
    assert told.quantized == 1
    assert told.kept_float == ()


@pytest.mark.parametrize("name", ["frozen.ptl", "int8.ptl"])
def test_torchscript_without_code_is_read_from_its_bytecode(
    script: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    path = script(name)
    bare = tmp_path / name
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bare, "w") as target:
        for each in source.infolist():
            if "/code/" not in each.filename:
                target.writestr(each, source.read(each))
    told, full = formats.describe(bare), formats.describe(path)
    assert told.operators == full.operators
    assert sizes(told) == sizes(full)
    assert precisions(told) == precisions(full)
    assert told.quantized == full.quantized
    assert told.inputs == full.inputs


def test_torchscript_damaged(script: Callable[[str], Path], tmp_path: Path) -> None:
    refuse_damaged(script("traced.pt"), tmp_path)
    refuse_damaged(script("int8.ptl"), tmp_path)


def test_torchscript_state_dict_is_no_program(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(net.state_dict(), path)
    assert "not a TorchScript program" in refused(path)


@pytest.mark.parametrize("suffix", [".onnx", ".ort", ".pte", ".mlpackage", ".mlmodel", ".ptl", ".pt"])
def test_missing(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"missing{suffix}"
    module = next(each for each in map(formats.load, formats.names()) if suffix in each.reads)
    if problem := module.availability().export:
        pytest.skip(problem)
    with pytest.raises(BundleError, match="cannot be read"):
        module.describe(path)
