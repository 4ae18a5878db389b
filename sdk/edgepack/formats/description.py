"""What a model file contains, in terms that all formats share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgepack.delegation import Delegation

if TYPE_CHECKING:
    from edgepack.contract import Contract


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model file."""

    name: str
    dtype: str
    """As NumPy names it, such as float32."""
    shape: tuple[int | str, ...]
    """A free dimension is its name, or -1."""


@dataclass(frozen=True)
class Layer:
    """An operator with constants, and the bytes that they take in the file."""

    name: str
    operator: str
    precision: str
    bytes: int


@dataclass(frozen=True)
class Description:
    """What a model file contains."""

    format: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    """Number of calls of each operator in the program."""
    layers: tuple[Layer, ...]
    """Layers that have constants, largest first."""
    quantized: float | None
    """Share, 0..1, of the operators with weights that store them in integers or compute on integers; None
    where no operator has weights."""
    kept_float: tuple[str, ...]
    """Operators whose weights stayed in float."""
    delegated: float | None = None
    """Share, 0..1, of operators that a delegate runs; None where the format has no delegates."""
    metadata: tuple[tuple[str, str], ...] = ()
    outside: dict[str, int] = field(default_factory=dict)
    """Number of calls of each kernel outside of delegates."""
    delegation: Delegation | None = None
    """What delegates were given; no file contains it: it is read from the report of the file's bundle."""
    contract: Contract | None = None
    """The contract in the file's metadata; None where there is none."""
