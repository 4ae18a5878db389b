"""What is asked of `model.load`: which model, with which weights, contract and samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgepack.contract import Output, State
from edgepack.python_reference import Reference

ModelKind = Literal["python", "torchvision", "exported", "torchscript"]


@dataclass(frozen=True)
class ModelRequest:
    """A model to load and capture."""

    model: str
    kind: ModelKind
    weights: str
    trust_pickle: bool
    inputs: tuple[dict[str, Any], ...]
    """Tables of the inputs as far as flags and settings tell; empty where the model tells."""
    outputs: tuple[Output, ...]
    state: tuple[State, ...]
    labels: tuple[str, ...]
    contract_from: str
    calib: str
    eval: str
    bake: bool
    """Whether the graph does pre-processing and activation itself."""
    argmax: bool
    """Whether it ends in the best class's number; goes with `bake`."""
    recovers: bool
    """Whether a model is fine-tuned on the calibration samples and, if there are any, their labels."""

    @property
    def model_name(self) -> str:
        """The model's reference without the folders of this machine, as a bundle shows it."""
        reference = Reference.parse(self.model)
        if reference and reference.is_file:
            return f"{reference.path.name}:{reference.name}"
        return Path(self.model).name
