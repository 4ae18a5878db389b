"""Decompress constants: evaluate the `constexpr_*` operations of a program.

They may be nested (sparse and palettized, or a quantized palette), so inputs are evaluated first. coremltools
decompresses all but the palettes of iOS 18, for which it would need one palette per element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def is_constant(operation: Any) -> bool:
    """Whether the outputs of a pymil operation are constants."""
    kind: str = operation.op_type
    return kind == "const" or kind.startswith("constexpr_")


def evaluate(variable: Any) -> Any:
    """The value of a constant pymil variable: an array, a string or a list."""
    operation = variable.op
    if operation.op_type == "const":
        return variable.val
    inputs = {name: evaluate(value) for name, value in operation.inputs.items()}
    outputs = _dense(operation, inputs)
    return outputs[operation.outputs.index(variable)] if isinstance(outputs, tuple) else outputs


def _dense(operation: Any, inputs: Mapping[str, Any]) -> Array | tuple[Array, ...]:
    kind = operation.op_type
    if kind == "constexpr_cast":
        return np.asarray(inputs["source_val"], np.float32)
    if kind in _PALETTES and "shape" not in inputs:  # iOS 16 has another signature, with `shape`
        return _PALETTES[kind](**inputs)
    named = {name: inputs.get(name) for name in operation.input_spec.input_types}
    decompressed: Array | tuple[Array, ...] = operation.decompress(**named)
    return decompressed


def lut_to_dense(indices: Array, lut: Array, vector_axis: Any = None) -> Array:
    """Look up palette entries by index.

    `indices` is [*shape] and `lut` [*groups, entries, vector]. Each dimension of `groups` divides that of
    `shape` and is the number of palettes along it. The elements of a vector are consecutive along
    `vector_axis`.
    """
    entries, size = lut.shape[-2:]
    which: Array = np.arange(int(np.prod(lut.shape[:-2]))).reshape(lut.shape[:-2])
    for axis, count in enumerate(indices.shape):
        which = np.repeat(which, count // which.shape[axis], axis)
    values = lut.reshape(-1, size)[which * entries + indices]
    if size == 1:
        return np.asarray(values[..., 0])
    axis = int(vector_axis) % indices.ndim
    shape = [count * size if n == axis else count for n, count in enumerate(indices.shape)]
    return np.moveaxis(values, -1, axis + 1).reshape(shape)


def lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: Any = None
) -> tuple[Array, Array]:
    """The mask, and the palette entries of its nonzero elements, in their order."""
    indices = np.zeros(indices_mask.shape, np.uint8)
    indices[indices_mask != 0] = indices_nonzero_data
    mask = indices_mask
    if vector_axis is not None:
        mask = np.repeat(mask, lut.shape[-1], int(vector_axis))
    return mask, lut_to_dense(indices, lut, vector_axis)[mask != 0]


_PALETTES: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
}
OWN = frozenset({"const", "constexpr_cast", *_PALETTES})
"""Operations that are evaluated without coremltools."""
