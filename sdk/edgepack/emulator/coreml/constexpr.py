"""Compressed constants, dense: what the `constexpr_*` operations of a program stand for.

They may feed each other (sparse and palettized, a palette that is itself quantized), so inputs are made
dense first. coremltools decompresses all but the palettes of iOS 18: its way takes a whole palette per
element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Held = NDArray[Any]


def is_constant(operation: Any) -> bool:
    """Whether a pymil operation only gives constants."""
    kind: str = operation.op_type
    return kind == "const" or kind.startswith("constexpr_")


def held(variable: Any) -> Any:
    """The value of a pymil variable whose operation is constant: an array, a text or a list."""
    operation = variable.op
    if operation.op_type == "const":
        return variable.val
    given = {name: held(each) for name, each in operation.inputs.items()}
    found = _dense(operation, given)
    return found[operation.outputs.index(variable)] if isinstance(found, tuple) else found


def _dense(operation: Any, given: Mapping[str, Any]) -> Held | tuple[Held, ...]:
    kind = operation.op_type
    if kind == "constexpr_cast":
        return np.asarray(given["source_val"], np.float32)
    if kind in _PALETTES and "shape" not in given:  # iOS 16 gives the shape apart
        return _PALETTES[kind](**given)
    named = {name: given.get(name) for name in operation.input_spec.input_types}
    decompressed: Held | tuple[Held, ...] = operation.decompress(**named)
    return decompressed


def lut_to_dense(indices: Held, lut: Held, vector_axis: Any = None) -> Held:
    """Entries of palettes by their indices.

    `indices` [*shape]; `lut` [*groups, entries, vector], where each dimension of `groups` divides that of
    `shape`: that many palettes lie along it. A vector's elements lie next to each other along `vector_axis`.
    """
    entries, size = lut.shape[-2:]
    which: Held = np.arange(int(np.prod(lut.shape[:-2]))).reshape(lut.shape[:-2])
    for axis, count in enumerate(indices.shape):
        which = np.repeat(which, count // which.shape[axis], axis)
    found = lut.reshape(-1, size)[which * entries + indices]
    if size == 1:
        return np.asarray(found[..., 0])
    axis = int(vector_axis) % indices.ndim
    shape = [count * size if each == axis else count for each, count in enumerate(indices.shape)]
    return np.moveaxis(found, -1, axis + 1).reshape(shape)


def lut_to_sparse(
    indices_mask: Held, indices_nonzero_data: Held, lut: Held, vector_axis: Any = None
) -> tuple[Held, Held]:
    """The mask, and entries of palettes where it is set, in its order."""
    indices = np.zeros(indices_mask.shape, np.uint8)
    indices[indices_mask != 0] = indices_nonzero_data
    mask = indices_mask
    if vector_axis is not None:
        mask = np.repeat(mask, lut.shape[-1], int(vector_axis))
    return mask, lut_to_dense(indices, lut, vector_axis)[mask != 0]


_PALETTES: Mapping[str, Callable[..., Held | tuple[Held, ...]]] = {
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
}
OWN = frozenset({"const", "constexpr_cast", *_PALETTES})
"""Operations whose values coremltools has no part in."""
