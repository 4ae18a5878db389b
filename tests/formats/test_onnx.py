"""ONNX in the form that each execution provider wants."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgepack import formats, plan, target
from edgepack.errors import ExportError
from edgepack.model import source
from edgepack.model.source import Source
from edgepack.options import BuildOptions
from edgepack.recipe import Recipe

FASHION = Path(__file__).resolve().parent.parent.parent / "examples" / "fashion_mnist"


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Source:
    out = str(tmp_path_factory.mktemp("out"))
    return source.load(plan.resolve(BuildOptions(model=str(FASHION), targets=("jetson-nano",), out=out)))


def _written(fashion: Source, folder: Path, device: str, scheme: str) -> tuple[Path, onnx.ModelProto]:
    path = folder / f"net-{scheme}.onnx"
    formats.load("onnx").export(fashion, Recipe(scheme), target.load(device), path)
    return path, onnx.load(path)


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_the_cpu_form_has_unsigned_activations_and_weights_a_channel(fashion: Source, tmp_path: Path) -> None:
    _, model = _written(fashion, tmp_path, "raspberry-pi-5", "w8a8")
    constants = _constants(model)
    zeros = [constants[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert zeros
    assert {zero.dtype for zero in zeros} == {np.dtype(np.uint8)}
    weights = [
        (constants[node.input[0]], constants[node.input[1]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and constants.get(node.input[0], np.zeros(1)).ndim == 4
    ]
    assert len(weights) == 11
    for values, scales in weights:
        assert values.dtype == np.int8
        assert scales.shape == (values.shape[0],)


def test_the_tensorrt_form_is_symmetric_with_float_bias(fashion: Source, tmp_path: Path) -> None:
    _, model = _written(fashion, tmp_path, "jetson-orin-nano", "w8a8")
    constants = _constants(model)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            zero = constants[node.input[2]]
            assert zero.dtype == np.int8, node.name
            assert not zero.any(), node.name
    biases = [constants[node.input[2]] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(biases) == 12
    assert {bias.dtype for bias in biases} == {np.dtype(np.float32)}
    assert not {node.op_type for node in model.graph.node} & {"QLinearConv", "ConvInteger", "QGemm"}


@pytest.mark.parametrize(("device", "opset"), [("jetson-nano", 13), ("raspberry-pi-5", 18)])
def test_the_operator_set_is_the_devices(fashion: Source, tmp_path: Path, device: str, opset: int) -> None:
    path, model = _written(fashion, tmp_path, device, "fp32")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert model.ir_version <= 8
    onnx.checker.check_model(model)
    runner = formats.load("onnx").load(path)
    for sample, outputs in list(zip(fashion.evaluation.inputs, fashion.reference))[:8]:
        np.testing.assert_allclose(runner(sample)[0], outputs[0], rtol=1e-3, atol=1e-4)


def test_names_are_the_contracts_and_modules_the_sources(fashion: Source, tmp_path: Path) -> None:
    path, model = _written(fashion, tmp_path, "raspberry-pi-5", "fp32")
    contract = fashion.contract
    assert [each.name for each in model.graph.input] == [each.name for each in contract.inputs]
    assert [each.name for each in model.graph.output] == [each.name for each in contract.outputs]
    assert b"stack_trace" not in path.read_bytes()
    assert any("classifier" in layer.name for layer in formats.describe(path).layers)


def test_a_free_dimension_is_free_in_the_file(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))\n"
    )
    choices = BuildOptions(
        model=f"{net}:net",
        targets=("raspberry-pi-5",),
        inputs=("tensor:Nx6",),
        out=str(tmp_path / "out"),
    )
    loaded = source.load(plan.resolve(choices))
    path, model = _written(loaded, tmp_path, "raspberry-pi-5", "fp32")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    runner = formats.load("onnx").load(path)
    rows = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    together = runner((rows,))[0]
    apart = np.concatenate([runner((row[None],))[0] for row in rows])
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)
    pte = tmp_path / "net.pte"
    told = formats.load("executorch").export(loaded, Recipe("fp32"), target.load("raspberry-pi-5"), pte)
    assert "N is 1 in this file" in told.notes[0]


def test_int8_without_samples_is_refused(fashion: Source, tmp_path: Path) -> None:
    bare = dataclasses.replace(fashion, calib=None)
    with pytest.raises(ExportError, match="needs calibration samples"):
        _written(bare, tmp_path, "raspberry-pi-5", "w8a8")


# Static int16 activations


def _sqnr(given: Source, path: Path) -> float:
    run = formats.load("onnx").load(path)
    pairs = list(zip(given.evaluation.inputs, given.reference, strict=True))[:300]
    noise = sum(float(np.sum((run(sample)[0] - exact[0]) ** 2)) for sample, exact in pairs)
    return 10 * float(np.log10(sum(float(np.sum(exact[0] ** 2)) for _, exact in pairs) / noise))


def test_int16_activations_lose_less_than_int8_ones(fashion: Source, tmp_path: Path) -> None:
    narrow, _ = _written(fashion, tmp_path, "raspberry-pi-5", "w8a8")
    wide, model = _written(fashion, tmp_path, "raspberry-pi-5", "w8a16")
    constants = _constants(model)
    zeros = {constants[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert zeros == {np.dtype(np.int16)}
    assert {each.domain for each in model.opset_import} == {"", "com.microsoft"}, "opset 18 has no int16"
    assert _sqnr(fashion, wide) > _sqnr(fashion, narrow) + 3
    assert _sqnr(fashion, wide.with_suffix(".ort")) > _sqnr(fashion, narrow) + 3
    assert formats.describe(wide).quantized == 1
    assert wide.stat().st_size < 1.1 * narrow.stat().st_size


def test_single_layers_have_int16_activations_among_int8_ones(fashion: Source, tmp_path: Path) -> None:
    narrow, _ = _written(fashion, tmp_path, "raspberry-pi-5", "w8a8")
    path = tmp_path / "mixed.onnx"
    recipe = Recipe("w8a8", {"stem": "w8a16", "classifier": "w8a16"})
    formats.load("onnx").export(fashion, recipe, formats.load_target("raspberry-pi-5"), path)
    model = onnx.load(path)
    constants = _constants(model)
    types = [constants[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert 2 <= types.count(np.dtype(np.int16)) <= 4
    assert types.count(np.dtype(np.uint8)) >= 8
    assert _sqnr(fashion, path) > _sqnr(fashion, narrow) + 1


def test_a_float_recipe_with_integer_layers_is_quantized(fashion: Source, tmp_path: Path) -> None:
    path = tmp_path / "mixed.onnx"
    recipe = Recipe("fp32", {"blocks.4": "w8a8", "blocks.3": "fp16"})
    exported = formats.load("onnx").export(fashion, recipe, formats.load_target("raspberry-pi-5"), path)
    assert formats.describe(path).quantized == pytest.approx(2 / 12)
    (note,) = exported.notes
    assert note.startswith("kept in fp32 (fp16: half precision is for a whole file): blocks.3")


LINEAR = """
import torch
from torch import nn


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(64, 64), nn.Linear(64, 10, bias=False)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(self.inner(torch.relu(self.inner(x))))


def tied():
    torch.manual_seed(0)
    return Tied()


def mixed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))


def upsampling():
    torch.manual_seed(0)
    return nn.Sequential(nn.ConvTranspose2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 10))
"""


def _linear_net(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    (folder / "nets.py").write_text(LINEAR)
    monkeypatch.chdir(folder)
    options = BuildOptions(
        model=f"nets.py:{name}", inputs=("tensor:1x1x8x8",), targets=("raspberry-pi-5",), out=str(folder)
    )
    return source.load(plan.resolve(options))


@pytest.mark.parametrize("name", ["plain", "tied", "mixed"])
def test_linear_layers_with_a_bias_have_dynamic_int8(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _linear_net(name, tmp_path, monkeypatch)
    path, model = _written(net, tmp_path, "raspberry-pi-5", "w8d")
    assert formats.describe(path).quantized == 1
    assert not [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul", "Conv")]
    assert _sqnr(net, path) > 25
    assert _sqnr(net, path.with_suffix(".ort")) > 25


def test_transposed_convolutions_stay_in_float_with_dynamic_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _linear_net("upsampling", tmp_path, monkeypatch)
    path = tmp_path / "net.onnx"
    exported = formats.load("onnx").export(net, Recipe("w8d"), target.load("raspberry-pi-5"), path)
    assert formats.describe(path).quantized == 0.5
    (note,) = exported.notes
    assert "dynamic quantization takes no transposed convolutions" in note


def _cast_tables(model: onnx.ModelProto) -> list[np.ndarray]:
    constants = _constants(model)
    return [
        constants[each.input[0]]
        for each in model.graph.node
        if each.op_type == "Gather" and each.input[0] in constants
    ]


def test_an_encoder_for_text_is_in_dynamic_int8(reader: Source, tmp_path: Path) -> None:
    """Its embedding has a scale for each row, and its layers are found by their paths."""
    wide, _ = _written(reader, tmp_path, "raspberry-pi-5", "fp32")
    path, model = _written(reader, tmp_path, "raspberry-pi-5", "w8d")
    codes, scales = _cast_tables(model)
    assert codes.dtype == np.int8
    assert (codes.shape, scales.shape) == ((500, 64), (500,))
    assert (np.abs(codes).max(1) == 127).all()
    assert formats.describe(path).quantized == 1
    assert not [node for node in model.graph.node if node.op_type == "Gemm"]
    assert path.stat().st_size < 0.4 * wide.stat().st_size
    assert _sqnr(reader, wide) > 100
    assert 15 < _sqnr(reader, path) < 60
    mixed = Recipe("w8d", {"block.up": "fp32", "words": "fp32"})
    formats.load("onnx").export(reader, mixed, target.load("raspberry-pi-5"), path)
    assert set(formats.describe(path).kept_float) == {"model.block.up", "model.words"}


@pytest.mark.parametrize("scheme", ["w8", "w8a8"])
def test_other_schemes_of_integer_weights_have_the_embedding_in_int8(
    scheme: str, reader: Source, tmp_path: Path
) -> None:
    path, model = _written(reader, tmp_path, "raspberry-pi-5", scheme)
    codes, _ = _cast_tables(model)
    assert codes.dtype == np.int8
    assert _sqnr(reader, path) > 15


def test_attention_and_gelu_are_in_the_forms_that_onnx_runtime_fuses(reader: Source, tmp_path: Path) -> None:
    wide, model = _written(reader, tmp_path, "raspberry-pi-5", "fp32")
    assert not [node for node in model.graph.node if node.op_type == "IsNaN"]
    operators = formats.describe(wide.with_suffix(".ort")).operators
    assert any(name.endswith("Gelu") for name in operators)
    assert "com.microsoft.SkipLayerNormalization" not in operators
