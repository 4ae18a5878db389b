"""Plain scripts: MobileNetV2 written in four formats, as each library's documentation shows it.

    python -m benchmarks.exports FORMAT FOLDER SECONDS

writes the float and the compressed models of one format into FOLDER, and the duration of the exports,
without start, weights and images, into the file SECONDS.

edgepack is compared with these scripts. They use the same weights, calibration images and schemes, but no
code of edgepack, and check no output. `benchmarks.scripts` uses their functions for other networks.
"""

from __future__ import annotations

import copy
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.nets import mobilenet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(folder: Path) -> torch.nn.Module:
    """The network in the folder of an example, with its trained weights."""
    sys.path.insert(
        0, str(folder)
    )  # by name, because the strict mode of torch.export imports the module again
    net: torch.nn.Module = importlib.import_module("model").net()
    net.load_state_dict(load_file(folder / "weights.safetensors"))
    return net.eval()


def calibration_images() -> list[torch.Tensor]:
    """The calibration images, each float32 [1, 3, 224, 224]."""
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


def to_executorch(net: torch.nn.Module, images: list[torch.Tensor], folder: Path) -> None:
    """`.pte` for XNNPACK, float and int8 by PT2E.

    https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html
    """
    exported = torch.export.export(net, (images[0],))
    save_pte(exported, folder / "net-fp32.pte")
    save_pte(pt2e(exported, images), folder / "net-w8a8.pte")


def save_pte(program: torch.export.ExportedProgram, path: Path) -> None:
    """Lower a program to XNNPACK and write it."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def xnnpack_quantizer() -> Any:
    """The quantizer of XNNPACK for static int8 with weights per channel."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    return XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))


def pt2e(
    exported: torch.export.ExportedProgram, images: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    """Quantize to int8 for XNNPACK with PT2E."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(exported.module(), xnnpack_quantizer())
    with torch.no_grad():
        for image in images:
            prepared(image)
    return torch.export.export(convert_pt2e(prepared), (images[0],))


def to_onnx(net: torch.nn.Module, images: list[torch.Tensor], folder: Path) -> None:
    """`.onnx` and `.ort`, float and int8 by static quantization, per channel.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    plain = folder / "net-fp32.onnx"
    save_onnx(net, images[0], plain)
    quantize_onnx(plain, images, folder / "net-w8a8.onnx", per_channel=True)
    convert_onnx_models_to_ort(
        folder, optimization_styles=[OptimizationStyle.Fixed], enable_type_reduction=True
    )


def save_onnx(net: torch.nn.Module, image: torch.Tensor, path: Path) -> None:
    """Export and write; the input is named `input`."""
    torch.onnx.export(
        net,
        (image,),
        path,
        dynamo=True,
        input_names=["input"],
        output_names=["output"],
        external_data=False,
    )


def quantize_onnx(
    plain: Path, images: Sequence[torch.Tensor], path: Path, *, per_channel: bool, method: str = "MinMax"
) -> None:
    """Static int8 with QDQ, and uint8 activations as ONNX Runtime recommends for x86 with VNNI.

    `method` is the name of a `CalibrationMethod`.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def __init__(self) -> None:
            self.rows: Iterator[torch.Tensor] = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"input": row.numpy()}

    prepared = path.with_suffix(".prepared")
    quant_pre_process(plain, prepared)
    quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method],
    )
    prepared.unlink()


def to_coreml(net: torch.nn.Module, images: list[torch.Tensor], folder: Path) -> None:
    """`.mlpackage` in fp16, with int8 weights and with a 6-bit palette, which need no images.

    https://apple.github.io/coremltools/docs-guides/source/convert-a-torchvision-model-from-pytorch.html
    https://apple.github.io/coremltools/docs-guides/source/opt-palettization-api.html
    """
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    del images
    labels = (mobilenet().folder.parent / "labels.txt").read_text().splitlines()
    scores = torch.nn.Sequential(net, torch.nn.Softmax(dim=1))
    with torch.no_grad():
        traced = torch.jit.trace(scores, torch.rand(1, 3, 224, 224))
    image = ct.ImageType(
        name="input",
        shape=(1, 3, 224, 224),
        scale=1 / (0.226 * 255),
        bias=[-mean / std for mean, std in zip(MEAN, STD)],
    )
    model = ct.convert(
        traced,
        inputs=[image],
        classifier_config=ct.ClassifierConfig(labels),
        minimum_deployment_target=ct.target.iOS17,
    )
    model.save(str(folder / "net-fp16.mlpackage"))

    linear = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(mode="linear_symmetric"))
    cto.linear_quantize_weights(model, linear).save(str(folder / "net-w8.mlpackage"))

    palette = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=6))
    cto.palettize_weights(model, palette).save(str(folder / "net-p6.mlpackage"))


def to_torchscript(net: torch.nn.Module, images: list[torch.Tensor], folder: Path) -> None:
    """`.ptl` for the lite interpreter, float and int8 for qnnpack by FX graph mode.

    https://docs.pytorch.org/docs/stable/quantization.html
    """
    from torch.ao.quantization import QConfig, QConfigMapping, default_per_channel_weight_observer
    from torch.ao.quantization.observer import HistogramObserver

    save_ptl(net, images[0], folder / "net-fp32.ptl")
    activation = HistogramObserver.with_args(reduce_range=False)
    mapping = QConfigMapping().set_global(QConfig(activation, default_per_channel_weight_observer))
    save_ptl(quantize_fx(net, mapping, images), images[0], folder / "net-w8a8.ptl")


def save_ptl(module: torch.nn.Module, image: torch.Tensor, path: Path) -> None:
    """Trace, freeze and write for the lite interpreter."""
    with torch.no_grad():
        script = torch.jit.freeze(torch.jit.trace(module, image).eval())
    script._save_for_lite_interpreter(str(path))


def quantize_fx(net: torch.nn.Module, mapping: Any, images: Sequence[torch.Tensor]) -> torch.nn.Module:
    """Quantize to int8 for qnnpack with FX graph mode and the QConfigMapping `mapping`."""
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    torch.backends.quantized.engine = "qnnpack"
    prepared = prepare_fx(copy.deepcopy(net), mapping, (images[0],))
    with torch.no_grad():
        for image in images:
            prepared(image)
    quantized: torch.nn.Module = convert_fx(prepared)
    return quantized


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
    net = network(mobilenet().folder)
    images = [] if name in _UNCALIBRATED else calibration_images()
    start = time.perf_counter()
    SCRIPTS[name](net, images, folder)
    seconds.write_text(str(time.perf_counter() - start), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
