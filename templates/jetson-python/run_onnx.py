"""ONNX Runtime on a Jetson: TensorRT, else CUDA, else the CPU; what is not used is said on stderr."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract import CONTRACT
from engine import FP16, INT8

_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
_CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """An `.onnx` or `.ort` file in ONNX Runtime, run once on zeros: TensorRT builds its engine then."""

    def __init__(self, path: Path, threads: int) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import: no device id, no uploads
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        available = onnxruntime.get_available_providers()
        wanted = [name for name in (*_GPU, _CPU) if name in available]
        if wanted[0] == _GPU[0]:
            print(f"engines are kept in {_cache(path)}; the first start takes minutes", file=sys.stderr)
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=[(name, _provider_options(name, path)) for name in wanted]
        )
        self._names = [each.name for each in self._session.get_inputs()]
        used = self._session.get_providers()
        self.about = f"ONNX Runtime {onnxruntime.__version__}, {used[0]}, CPU threads: {threads}"
        _tell_lost(available, used)
        self.run(_zeros())

    def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for `inputs`, both in the model's order."""
        outputs = self._session.run(None, dict(zip(self._names, inputs)))
        return [np.asarray(output) for output in outputs]


def _zeros() -> list[NDArray[Any]]:
    """A sample of zeros; a dimension that is free is 1."""
    found: list[NDArray[Any]] = []
    for each in CONTRACT["inputs"]:
        if each["kind"] == "image":
            depth = 1 if each["channels"] == "L" else 3
            shape = [1, depth, *each["size"]] if each["layout"] == "NCHW" else [1, *each["size"], depth]
        else:
            shape = [dim if isinstance(dim, int) else 1 for dim in each["shape"]]
        found.append(np.zeros(shape, each["dtype"]))
    return found


def _tell_lost(available: list[str], used: list[str]) -> None:
    for name in _GPU:
        if name not in available:
            print(f"not used: {name}, which this build of ONNX Runtime lacks", file=sys.stderr)
        elif name not in used:
            print(f"not used: {name}, which did not start (see above)", file=sys.stderr)


def _cache(path: Path) -> Path:
    """Where a file's engine is kept: each has a folder, for TensorRT does not notice other weights."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "tensorrt-engines" / hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _provider_options(name: str, path: Path) -> dict[str, str]:
    """See onnxruntime.ai, TensorRT Execution Provider, Configurations."""
    if name != "TensorrtExecutionProvider":
        return {}
    cache = _cache(path)
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_int8_enable": str(INT8),
        "trt_fp16_enable": str(FP16),
    }
