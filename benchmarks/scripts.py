"""Scripts of the peers: each writes one file, as in the documentation of the library, with its defaults.

    python -m benchmarks.scripts NAME NET SAMPLES FILE

runs the script NAME on the network in the folder NET of an example, and writes FILE. SAMPLES is an `.npy`
with calibration samples [samples, channels, height, width]. All scripts start from the torch module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import exports

Script = Callable[[torch.nn.Module, list[torch.Tensor], Path], None]


def _executorch(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    exports.save_pte(torch.export.export(net, (samples[0],)), path)


def _pt2e(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html"""
    exports.save_pte(exports.pt2e(torch.export.export(net, (samples[0],)), samples), path)


def _recipe(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """Docstrings of the package: executorch/export/export.py, backends/xnnpack/recipes."""
    from executorch.backends.xnnpack.recipes import XNNPackRecipeType
    from executorch.export import ExportRecipe, export

    recipe = ExportRecipe.get_recipe(XNNPackRecipeType.PT2E_INT8_STATIC_PER_CHANNEL)
    with torch.no_grad():
        session = export(net, [(sample,) for sample in samples], recipe)
    path.write_bytes(session.get_pte_buffer())


def _nncf_pt2e(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """https://openvinotoolkit.github.io/nncf/autoapi/nncf/experimental/torch/fx/index.html"""
    import nncf
    from nncf.experimental.torch.fx import quantize_pt2e

    example = (samples[0],)
    captured = torch.export.export(net, example).module()
    with torch.no_grad():
        quantized = quantize_pt2e(captured, exports.xnnpack_quantizer(), nncf.Dataset(samples))
    exports.save_pte(torch.export.export(quantized, example), path)


def _onnx(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    exports.save_onnx(net, samples[0], path)


def _static(
    net: torch.nn.Module, samples: list[torch.Tensor], path: Path, *, per_channel: bool, method: str
) -> None:
    """https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html"""
    plain = path.with_suffix(".plain")
    exports.save_onnx(net, samples[0], plain)
    exports.quantize_onnx(plain, samples, path, per_channel=per_channel, method=method)


def _nncf_onnx(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """https://github.com/openvinotoolkit/nncf/tree/develop/examples/post_training_quantization/onnx"""
    import nncf
    import onnx

    plain = path.with_suffix(".plain")
    exports.save_onnx(net, samples[0], plain)
    dataset = nncf.Dataset(samples, lambda sample: {"input": sample.numpy()})
    onnx.save(nncf.quantize(onnx.load(plain), dataset), path)


def _converted(net: torch.nn.Module, sample: torch.Tensor) -> Any:
    import coremltools as ct

    with torch.no_grad():
        traced = torch.jit.trace(net, sample)
    inputs = [ct.TensorType(name="input", shape=tuple(sample.shape))]
    return ct.convert(traced, inputs=inputs, minimum_deployment_target=ct.target.iOS17)


def _coreml(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    _converted(net, samples[0]).save(str(path))


def _linear(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """https://apple.github.io/coremltools/docs-guides/source/opt-quantization-api.html"""
    import coremltools.optimize.coreml as cto

    config = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(mode="linear_symmetric"))
    cto.linear_quantize_weights(_converted(net, samples[0]), config).save(str(path))


def _palette(net: torch.nn.Module, samples: list[torch.Tensor], path: Path, *, bits: int) -> None:
    """https://apple.github.io/coremltools/docs-guides/source/opt-palettization-api.html"""
    import coremltools.optimize.coreml as cto

    config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=bits))
    cto.palettize_weights(_converted(net, samples[0]), config).save(str(path))


def _torchscript(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    exports.save_ptl(net, samples[0], path)


def _fx(net: torch.nn.Module, samples: list[torch.Tensor], path: Path) -> None:
    """https://docs.pytorch.org/docs/stable/quantization.html"""
    from torch.ao.quantization import get_default_qconfig_mapping

    quantized = exports.quantize_fx(net, get_default_qconfig_mapping("qnnpack"), samples)
    exports.save_ptl(quantized, samples[0], path)


SCRIPTS: dict[str, Script] = {
    "executorch": _executorch,
    "executorch-pt2e": _pt2e,
    "executorch-recipe": _recipe,
    "nncf-pt2e": _nncf_pt2e,
    "onnx": _onnx,
    "onnx-tensor-minmax": partial(_static, per_channel=False, method="MinMax"),
    "onnx-tensor-percentile": partial(_static, per_channel=False, method="Percentile"),
    "onnx-channel-minmax": partial(_static, per_channel=True, method="MinMax"),
    "onnx-channel-percentile": partial(_static, per_channel=True, method="Percentile"),
    "nncf-onnx": _nncf_onnx,
    "coreml": _coreml,
    "coreml-w8": _linear,
    "coreml-p8": partial(_palette, bits=8),
    "coreml-p6": partial(_palette, bits=6),
    "coreml-p4": partial(_palette, bits=4),
    "torchscript": _torchscript,
    "torchscript-fx": _fx,
}


def main(name: str, net: Path, samples: Path, path: Path) -> None:
    """Run the script `name`."""
    torch.set_num_threads(1)
    rows = torch.from_numpy(np.load(samples)).split(1)
    SCRIPTS[name](exports.network(net), list(rows), path)


if __name__ == "__main__":
    main(sys.argv[1], *(Path(each) for each in sys.argv[2:]))
