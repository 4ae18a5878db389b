"""How a session of ONNX Runtime begins on a Jetson: TensorRT, else CUDA, else the CPU.

What is not used is said on stderr.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .contract import CONTRACT
from .engine import FP16, INT8

_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
_CPU = "CPUExecutionProvider"


def opened(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session for the file at `path`, run once on zeros: TensorRT builds its engine then."""
    available = onnxruntime.get_available_providers()
    wanted = [name for name in (*_GPU, _CPU) if name in available]
    if wanted[0] == _GPU[0]:
        print(f"engines are kept in {_cache(path)}; the first start takes minutes", file=sys.stderr)
    providers = [(name, _provider_options(name, path)) for name in wanted]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    _tell_lost(available, session.get_providers())
    session.run(None, dict(zip([each.name for each in session.get_inputs()], _zeros())))
    return session


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
