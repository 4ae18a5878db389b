"""Models of Keras 3, on its torch backend: a `.keras` file, or a Python file that returns one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from edgepack.contract import Output
from edgepack.errors import SourceError, first_line
from edgepack.model import packages
from edgepack.model.binding import Parameter, Signature
from edgepack.model.loaded_model import LoadedModel
from edgepack.silence import quiet

_SIZES = {1: "height", 2: "width"}
"""Names of free dimensions of a channels-last image."""


class KerasModule(torch.nn.Module):
    """A Keras model that takes its inputs one by one, and runs as in inference."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> Any:
        import keras

        is_single = isinstance(self.model, keras.Sequential)
        given = inputs[0] if is_single else keras.tree.pack_sequence_as(self.model.input, list(inputs))
        return self.model(given, training=False)


def choose_backend() -> None:
    """Make Keras compute in torch, whatever its own settings say. To be called before it is imported."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"


def is_keras(found: object) -> bool:
    """Whether an object is a Keras model; Keras is not imported for the question."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(found, keras.Model)


def load(path: Path) -> LoadedModel:
    """The model of a `.keras` file, whose Python code is not run. Raises SourceError if it needs any."""
    packages.check("keras", "keras")
    choose_backend()
    try:
        with quiet():
            import keras

            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as cause:  # Keras documents no common base of its errors
        raise SourceError(
            f"Keras cannot load {path}: {first_line(cause)}",
            hint="a model with Lambda layers or own classes is given as file.py:name, with a callable that "
            "returns it",
        ) from cause
    return loaded(path.stem, model)


def loaded(name: str, model: Any, notes: tuple[str, ...] = ()) -> LoadedModel:
    """A Keras model with the inputs and outputs that it declares. Raises SourceError if it declares none."""
    import keras

    if keras.backend.backend() != "torch":
        raise SourceError(
            f"Keras computes in {keras.backend.backend()} here, not in torch", hint="set KERAS_BACKEND=torch"
        )
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise SourceError(
            f"the Keras model {name} has not been built: its inputs are not known",
            hint="use the functional API or a Sequential with keras.Input, or call it once before saving it",
        )
    tables = tuple(_table(each) for each in inputs)
    parameters = tuple(Parameter(table["name"], by_name=False) for table in tables)
    names = getattr(model, "output_names", None) or [model.layers[-1].name]
    outputs = tuple(Output(name=name) for name in _distinct(names, tables))
    module = KerasModule(model)
    return LoadedModel(
        name, module, tables, outputs, signature=Signature(parameters), notes=notes, layout="NHWC"
    )


def _distinct(names: list[str], tables: tuple[dict[str, Any], ...]) -> list[str]:
    """Names of outputs; one that an input has, too, gets a suffix."""
    taken = {table["name"] for table in tables}
    return [f"{name}_output" if name in taken else name for name in names]


def _table(value: Any) -> dict[str, Any]:
    """The table of one input, a batch of 1; dimensions of any size get names."""
    if value.dtype == "string":
        raise SourceError(f"input '{value.name}' takes strings: no format carries them")
    shape = [
        size or (_SIZES[axis] if len(value.shape) == 4 and axis in _SIZES else f"size_{axis}")
        for axis, size in enumerate(value.shape[1:], 1)
    ]
    return {"kind": "tensor", "name": value.name, "shape": [1, *shape], "dtype": value.dtype}
