"""How a session of ONNX Runtime begins: what runs the model is settled here."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def opened(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session for the file at `path`, on the CPU."""
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
