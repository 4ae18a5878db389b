"""A `.pte` read by ExecuTorch's own deserializer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from executorch.exir._serialize._program import _get_extended_header, deserialize_pte_binary

from edgepack.errors import BundleError

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BFLOAT16": "bfloat16",
    "DOUBLE": "float64",
    "BYTE": "uint8",
    "CHAR": "int8",
    "SHORT": "int16",
    "INT": "int32",
    "LONG": "int64",
}


def read(path: Path) -> Any:
    """The `PTEFile` at `path`. Raises BundleError where it cannot be read."""
    with readable(path):
        return parsed(path.read_bytes())


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn every error about a damaged or absent file at `path` into a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except OSError as cause:
        raise BundleError(f"{path} cannot be read: {cause.strerror or cause}") from cause
    except Exception as cause:  # damaged bytes end in any error of flatbuffers, struct or executorch
        raise BundleError(f"{path} is not an ExecuTorch program, or is damaged: {cause}") from cause


def parsed(data: bytes) -> Any:
    """The `PTEFile` in `data`. Raises ValueError, or any error of the deserializer, if it is damaged."""
    if data[4:6] != b"ET":
        raise ValueError("it does not begin as one")
    header = _get_extended_header(data)
    if header and len(data) < header.segment_base_offset + header.segment_data_size:
        raise ValueError("it ends before its data does")
    return deserialize_pte_binary(data)


def dtype_name(tensor: Any) -> str:
    """The dtype of a tensor of the program, by its name in NumPy and torch."""
    name: str = tensor.scalar_type.name
    return _DTYPES.get(name, name.lower())
