"""The request for a model: which one, with which weights, contract and samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgepack.contract import Output, State
from edgepack.python_reference import Reference

ModelKind = Literal["python", "torchvision", "timm", "transformers", "keras", "exported", "torchscript"]


@dataclass(frozen=True)
class ModelRequest:
    """A model to load and capture."""

    model: str
    kind: ModelKind
    weights: str
    trust_pickle: bool
    inputs: tuple[dict[str, Any], ...]
    """Tables of the inputs, as far as flags and settings declare them; empty if the model declares them."""
    outputs: tuple[Output, ...]
    state: tuple[State, ...]
    labels: tuple[str, ...]
    contract_from: str
    calib: str
    eval: str
    bake: bool
    """Whether the graph itself contains pre-processing and activation."""
    argmax: bool
    """Whether the graph returns the number of the best class; needs `bake`."""
    recovers: bool
    """Whether a model is fine-tuned on the calibration samples and, if there are any, their labels."""

    @property
    def model_name(self) -> str:
        """The model's reference without folders of this machine, as a bundle shows it."""
        reference = Reference.parse(self.model)
        if reference and reference.is_file:
            return f"{reference.path.name}:{reference.name}"
        return Path(self.model).name
