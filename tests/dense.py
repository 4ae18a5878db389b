"""The weights of a written package, as Core ML computes with them: dense, whatever they are stored as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.frontend.milproto import load
from numpy.typing import NDArray

from edgepack.errors import BundleError
from edgepack.formats.coreml import layers

_LAYERS = frozenset({"conv", "conv_transpose", "linear"})

Floats = NDArray[np.float32]
Weights = dict[str, tuple[Floats, Floats | None]]
"""By module path: a layer's weight in torch's layout, and its bias where it has one; fp32."""


def read(path: Path) -> Weights:
    """Weights and biases of the convolutions and linear layers in a package that edgepack wrote.

    Raises BundleError where it cannot be read, or does not tell which layer is which.
    """
    try:
        model = ct.models.MLModel(str(path), skip_model_load=True)
        spec = model.get_spec()
        program = load.load(spec, spec.specificationVersion, file_weights_dir=model.weights_dir)
    except Exception as cause:  # damaged bytes end in any error of protobuf, json or coremltools
        raise BundleError(f"{path} is not a Core ML program, or is damaged: {cause}") from cause
    paths = layers.read(model.user_defined_metadata)
    if not paths:
        raise BundleError(f"{path} does not tell its layers: only edgepack's own packages do")
    found: Weights = {}
    for function in program.functions.values():
        for operation in function.operations:
            if operation.op_type in _LAYERS and operation.name in paths:
                found[paths[operation.name]] = _held(operation, "weight"), _bias(operation)
    return found


def _held(operation: Any, key: str) -> Floats:
    """A constant input of an operation, decompressed."""
    value = operation.inputs[key]
    stored = value.op if value.op is not None and value.op.op_type.startswith("constexpr_") else None
    dense = stored.materialized_val_inference() if stored else value.val
    return np.asarray(dense, np.float32)


def _bias(operation: Any) -> Floats | None:
    return _held(operation, "bias") if operation.inputs.get("bias") is not None else None
