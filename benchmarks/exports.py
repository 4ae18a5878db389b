"""Plain scripts: MobileNetV2 written in four formats, as each library's documentation shows it.

    python -m benchmarks.exports FORMAT FOLDER SECONDS

writes the float and the compressed models of one format into FOLDER, and into the file SECONDS how
long the exports took, without start, weights and pictures.

These are what edgepack is held against. They take the same weights, the same calibration pictures
and the same schemes; they share nothing with edgepack's code, and look at no output.
"""

from __future__ import annotations

import copy
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.nets import mobilenet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network() -> torch.nn.Module:
    """MobileNetV2 of torchvision with its trained weights."""
    folder = mobilenet().folder
    net: torch.nn.Module = runpy.run_path(str(folder / "model.py"))["net"]()
    net.load_state_dict(load_file(folder / "weights.safetensors"))
    return net.eval()


def calibration_pictures() -> list[torch.Tensor]:
    """The calibration pictures, each float32 [1, 3, 224, 224]."""
    from torchvision import transforms

    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    folder = mobilenet().folder.parent / "pictures" / "calib"
    files = sorted(path for path in folder.iterdir() if path.suffix != ".csv")
    return [prepare(Image.open(path).convert("RGB")).unsqueeze(0) for path in files]


def to_executorch(net: torch.nn.Module, pictures: list[torch.Tensor], folder: Path) -> None:
    """`.pte` for XNNPACK, float and int8 by PT2E.

    https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    def save(program: torch.export.ExportedProgram, path: Path) -> None:
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)

    example = (pictures[0],)
    exported = torch.export.export(net, example)
    save(exported, folder / "net-fp32.pte")

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(exported.module(), quantizer)
    with torch.no_grad():
        for picture in pictures:
            prepared(picture)
    save(torch.export.export(convert_pt2e(prepared), example), folder / "net-w8a8.pte")


def to_onnx(net: torch.nn.Module, pictures: list[torch.Tensor], folder: Path) -> None:
    """`.onnx` and `.ort`, float and int8 by static quantization, per channel.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def __init__(self) -> None:
            self.rows: Iterator[torch.Tensor] = iter(pictures)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"input": row.numpy()}

    plain, prepared, quantized = folder / "net-fp32.onnx", folder / "net.prepared", folder / "net-w8a8.onnx"
    torch.onnx.export(
        net,
        (pictures[0],),
        plain,
        dynamo=True,
        input_names=["input"],
        output_names=["output"],
        external_data=False,
    )
    quant_pre_process(plain, prepared)
    quantize_static(
        prepared,
        quantized,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()
    convert_onnx_models_to_ort(
        folder, optimization_styles=[OptimizationStyle.Fixed], enable_type_reduction=True
    )


def to_coreml(net: torch.nn.Module, pictures: list[torch.Tensor], folder: Path) -> None:
    """`.mlpackage` in fp16, with int8 weights and with a 6-bit palette; no picture is needed.

    https://apple.github.io/coremltools/docs-guides/source/convert-a-torchvision-model-from-pytorch.html
    https://apple.github.io/coremltools/docs-guides/source/opt-palettization-api.html
    """
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    del pictures
    labels = (mobilenet().folder.parent / "labels.txt").read_text().splitlines()
    scores = torch.nn.Sequential(net, torch.nn.Softmax(dim=1))
    with torch.no_grad():
        traced = torch.jit.trace(scores, torch.rand(1, 3, 224, 224))
    picture = ct.ImageType(
        name="input",
        shape=(1, 3, 224, 224),
        scale=1 / (0.226 * 255),
        bias=[-mean / std for mean, std in zip(MEAN, STD)],
    )
    model = ct.convert(
        traced,
        inputs=[picture],
        classifier_config=ct.ClassifierConfig(labels),
        minimum_deployment_target=ct.target.iOS17,
    )
    model.save(str(folder / "net-fp16.mlpackage"))

    linear = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(mode="linear_symmetric"))
    cto.linear_quantize_weights(model, linear).save(str(folder / "net-w8.mlpackage"))

    palette = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=6))
    cto.palettize_weights(model, palette).save(str(folder / "net-p6.mlpackage"))


def to_torchscript(net: torch.nn.Module, pictures: list[torch.Tensor], folder: Path) -> None:
    """`.ptl` for the lite interpreter, float and int8 for qnnpack by FX graph mode.

    https://docs.pytorch.org/docs/stable/quantization.html
    """
    from torch.ao.quantization import QConfig, QConfigMapping, default_per_channel_weight_observer
    from torch.ao.quantization.observer import HistogramObserver
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    def save(module: torch.nn.Module, path: Path) -> None:
        with torch.no_grad():
            script = torch.jit.freeze(torch.jit.trace(module, pictures[0]).eval())
        script._save_for_lite_interpreter(str(path))

    save(net, folder / "net-fp32.ptl")

    torch.backends.quantized.engine = "qnnpack"
    activation = HistogramObserver.with_args(reduce_range=False)
    mapping = QConfigMapping().set_global(QConfig(activation, default_per_channel_weight_observer))
    prepared = prepare_fx(copy.deepcopy(net), mapping, (pictures[0],))
    with torch.no_grad():
        for picture in pictures:
            prepared(picture)
    save(convert_fx(prepared), folder / "net-w8a8.ptl")


SCRIPTS: dict[str, Callable[[torch.nn.Module, list[torch.Tensor], Path], None]] = {
    "executorch": to_executorch,
    "onnx": to_onnx,
    "coreml": to_coreml,
    "torchscript": to_torchscript,
}
_UNCALIBRATED = frozenset({"coreml"})


def main(name: str, folder: Path, seconds: Path) -> None:
    """Run the script of one format."""
    torch.set_num_threads(1)
    net = network()
    pictures = [] if name in _UNCALIBRATED else calibration_pictures()
    begun = time.perf_counter()
    SCRIPTS[name](net, pictures, folder)
    seconds.write_text(str(time.perf_counter() - begun), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
