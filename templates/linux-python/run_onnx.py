"""ONNX Runtime: on the CPU, and on a Jetson's GPU where its build reaches it."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
_CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """An `.onnx` or `.ort` file in ONNX Runtime."""

    def __init__(self, path: Path, threads: int) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import: no device id, no uploads
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        available = onnxruntime.get_available_providers()
        wanted = [name for name in (*_GPU, _CPU) if name in available]
        self._session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[(name, _provider_options(name, path)) for name in wanted],
        )
        self._names = [each.name for each in self._session.get_inputs()]
        used = self._session.get_providers()
        self.about = f"ONNX Runtime {onnxruntime.__version__}, {used[0]}, CPU threads: {threads}"
        _tell_lost(available, used)

    def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for `inputs`, both in the model's order."""
        outputs = self._session.run(None, dict(zip(self._names, inputs)))
        return [np.asarray(output) for output in outputs]


def _tell_lost(available: list[str], used: list[str]) -> None:
    """Say on stderr which of a GPU's providers are not used, and why as far as it is known."""
    jetson = Path("/etc/nv_tegra_release").exists()
    for name in _GPU:
        if name in available and name not in used:
            print(f"not used: {name}, which did not start (see above)", file=sys.stderr)
        elif name not in available and jetson:
            print(f"not used: {name}, which this build of ONNX Runtime lacks", file=sys.stderr)


def _provider_options(name: str, path: Path) -> dict[str, str]:
    if name != "TensorrtExecutionProvider":
        return {}
    content = path.read_bytes()
    # TensorRT takes minutes to build an engine, so it is kept. It does not notice that weights have
    # changed: each file's engine has a folder of its own.
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(home) / "tensorrt-engines" / hashlib.sha256(content).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_int8_enable": str(b"QuantizeLinear" in content),
    }
