"""ExecuTorch, through its Python binding."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def opened(path: Path, threads: int) -> ExecuTorch:
    """The file at `path`, on `threads` CPU threads."""
    return ExecuTorch(path, threads)


class ExecuTorch:
    """A `.pte` file in ExecuTorch.

    The binding takes torch tensors and nothing else, so this is the one place that imports torch.
    """

    def __init__(self, path: Path, threads: int) -> None:
        logging.disable(logging.WARNING)  # what the packages say of parts that are not used here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import executorch.kernels.quantized  # noqa: F401  makes its operators known
            import torch
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime
            from executorch.version import __version__
        logging.disable(logging.NOTSET)
        portable_lib._unsafe_reset_threadpool(threads)
        self._to_tensor = torch.from_numpy
        self._program = Runtime.get().load_program(path)
        self._method = self._program.load_method("forward")
        self.about = f"ExecuTorch {__version__}, CPU threads: {threads}"

    def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for `inputs`, both in the model's order."""
        outputs = self._method.execute([self._to_tensor(each) for each in inputs])
        return [np.asarray(output.numpy()) for output in outputs]
