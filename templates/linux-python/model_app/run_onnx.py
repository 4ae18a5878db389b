"""ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def opened(path: Path, threads: int) -> OnnxRuntime:
    """The file at `path`, on `threads` CPU threads."""
    return OnnxRuntime(path, threads)


class OnnxRuntime:
    """An `.onnx` or `.ort` file in ONNX Runtime."""

    def __init__(self, path: Path, threads: int) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import: no device id, no uploads
        import onnxruntime

        from . import session

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = session.opened(path, options)
        self._names = [each.name for each in self._session.get_inputs()]
        used = self._session.get_providers()[0]
        self.about = f"ONNX Runtime {onnxruntime.__version__}, {used}, CPU threads: {threads}"

    def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for `inputs`, both in the model's order."""
        outputs = self._session.run(None, dict(zip(self._names, inputs)))
        return [np.asarray(output) for output in outputs]
