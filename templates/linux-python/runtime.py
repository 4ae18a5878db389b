"""The runtime: loads the bundle's model file and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from contract import FORMAT


class Runtime(Protocol):
    """A loaded model."""

    about: str
    """What it runs on, for people."""

    def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for `inputs`; both in the contract's order, batch dimension first."""
        ...


class RuntimeProblem(Exception):
    """The runtime is not installed, or does not load the model."""


def load(path: Path, threads: int) -> Runtime:
    """The model at `path` in the runtime of its format, on `threads` CPU threads.

    Raises RuntimeProblem with a sentence.
    """
    if not path.is_file():
        raise RuntimeProblem(f"there is no model file {path}")
    try:
        if FORMAT == "onnx":
            from run_onnx import OnnxRuntime

            return OnnxRuntime(path, threads)
        if FORMAT == "executorch":
            from run_executorch import ExecuTorch

            return ExecuTorch(path, threads)
    except ImportError as cause:
        fix = "python -m pip install -r requirements.txt"
        raise RuntimeProblem(f"the runtime is not installed ({cause}): {fix}") from cause
    except Exception as cause:  # each runtime raises classes of its own
        raise RuntimeProblem(f"{path.name} does not load: {cause}") from cause
    raise RuntimeProblem(f"this app has no runtime for format '{FORMAT}'")
