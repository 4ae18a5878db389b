"""ONNX Runtime: its sessions on this host, and the `.ort` that it writes of an `.onnx`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgepack.arrays import Array, Sample
from edgepack.errors import first_line

_PROVIDERS = ["CPUExecutionProvider"]


def runtime() -> Any:
    """ONNX Runtime, imported on first use with its telemetry off."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else it writes a device id and uploads
    import onnxruntime

    return onnxruntime


def session_options() -> Any:
    """One thread, and no log message below an error."""
    options = runtime().SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


class Session:
    """An `.onnx` or `.ort` in ONNX Runtime's CPU provider."""

    def __init__(self, path: Path) -> None:
        self._session = runtime().InferenceSession(str(path), session_options(), providers=_PROVIDERS)
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        """The outputs for one sample, in order."""
        return tuple(self._session.run(None, dict(zip(self._names, sample))))


def write_ort(path: Path, ort: Path) -> str:
    """Write the model at `path` as ONNX Runtime saves it after its optimizations; why not, where ONNX
    Runtime refuses the model, else empty.

    They are the extended ones: the next level would write data in the layout of this host's CPU.
    """
    options = session_options()
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(ort)
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        runtime().InferenceSession(str(path), options, providers=_PROVIDERS)
    except Exception as cause:  # its errors have no common base
        return first_line(cause)
    return ""


def write_operators(ort: Path, config: Path) -> None:
    """Write the list of operators that a reduced build of ONNX Runtime needs to run `ort`."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    create_config_from_models([ort], config, enable_type_reduction=True)
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    config.write_text("\n".join(["# operators that " + ort.name + " needs", *lines]) + "\n", encoding="utf-8")
