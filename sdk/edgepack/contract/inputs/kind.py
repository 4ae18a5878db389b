"""What every kind of input has.

A new kind is a module in this folder, with a subclass of `InputKind`, and a member of
`edgepack.contract.inputs.Input`. NumPy and Pillow are imported where they are used: reading a contract
needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from edgepack.errors import SourceError
from edgepack.toml import Strict

if TYPE_CHECKING:
    import numpy as np

    from edgepack.arrays import Array

DType = Literal["float32", "float16", "int32", "int64", "uint8", "bool"]
Dim = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Shape = Annotated[tuple[Dim, ...], Field(min_length=1)]


class InputKind(Strict):
    """Base of all inputs. A subclass adds `shape` (batch dimension included) and `dtype`."""

    suffixes: ClassVar[frozenset[str]] = frozenset()
    """Lower-case suffixes of the files that hold samples; empty if they are not read from files."""
    mean_edges: ClassVar[tuple[float, ...]] = ()
    """Fixed histogram edges for `monitored_mean`, rising; if empty, the edges follow from the samples."""

    kind: str
    name: str = "input"
    """Name of the input in model files and samples."""

    def read_file(self, path: Path) -> Array:
        """One sample from a file with one of `suffixes`. Raises OSError, ValueError or SyntaxError."""
        raise NotImplementedError(f"{self.kind} samples are not read from files such as {path.name}")

    def read_samples(self, path: Path) -> list[Array]:
        """The samples in a file: one, unless a kind cuts files. Raises as `read_file` does."""
        return [self.read_file(path)]

    def from_array(self, value: Array, where: str) -> Array:
        """One sample from an array, as the model takes it: batch of 1, this `dtype`, contiguous.

        `where` names the source in messages. Raises SourceError if the array does not fit.
        """
        raise NotImplementedError

    def synthetic(self, draw: np.random.Generator) -> Array:
        """One sample of noise; named dimensions have size 1."""
        raise NotImplementedError

    def warnings(self, values: Sequence[Array]) -> list[str]:
        """What makes calibration samples of this input doubtful: one sentence per finding."""
        import numpy as np

        is_float = values[0].dtype.kind == "f"
        if is_float and all(value.size > 1 and np.ptp(value) == 0 for value in values):
            return [f"input '{self.name}' is constant within every calibration sample"]
        return []

    def doubts(self) -> list[str]:
        """What makes the declaration itself doubtful: one sentence per finding."""
        return []

    def monitored_mean(self, value: Array) -> float:
        """The mean of one sample, as an app's monitoring computes it."""
        return float(value.astype("float64").mean())


def fitted(value: Array, name: str, shape: Sequence[int | str], dtype: str, where: str) -> Array:
    """`value` with a batch dimension, in `dtype`. Raises SourceError if shape or type do not fit."""
    import numpy as np

    if value.ndim == len(shape) - 1:
        value = value[None]
    if value.ndim != len(shape) or any(
        isinstance(dim, int) and dim != size for dim, size in zip(shape, value.shape)
    ):
        raise SourceError(f"{where}: '{name}' is {joined(shape)}, a sample is {joined(value.shape)}")
    if value.dtype != np.dtype(dtype):
        if not np.can_cast(value.dtype, dtype, "same_kind"):
            raise SourceError(f"{where}: '{name}' is {dtype}, a sample is {value.dtype}")
        value = value.astype(dtype)
    # a copy: indexing with [None] leaves a stride of 0, which ExecuTorch refuses
    return np.array(value, order="C", copy=True)


def noise(shape: Sequence[int | str], dtype: str, draw: np.random.Generator) -> Array:
    """Standard normal floats, or integers 0 and 1; named dimensions have size 1."""
    sizes = tuple(1 if isinstance(dim, str) else dim for dim in shape)
    if dtype in ("float32", "float16"):
        return draw.standard_normal(sizes).astype(dtype)
    return draw.integers(0, 2, sizes).astype(dtype)


def joined(shape: Sequence[int | str]) -> str:
    """A shape as in `1x3x224x224`."""
    return "x".join(str(dim) for dim in shape)
