"""The runtime: loads the bundle's model file and runs it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from .contract import FORMAT


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
        module = importlib.import_module(f".run_{FORMAT}", __package__)
        found: Runtime = module.opened(path, threads)
        return found
    except ImportError as cause:
        raise RuntimeProblem(f"the runtime is not installed ({cause}): see README.md, Set up") from cause
    except Exception as cause:  # each runtime raises classes of its own
        raise RuntimeProblem(f"{path.name} does not load: {cause}") from cause
