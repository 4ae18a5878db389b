"""The specification (protobuf) of a Core ML model or package, read from disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coremltools.proto import Model_pb2

from edgepack.errors import BundleError


def specification(path: Path) -> tuple[Any, Path]:
    """The specification of a model, and the folder it lies in. Raises BundleError where it cannot be read."""
    with readable(path):
        return parsed(path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Damage and absence become BundleErrors."""
    try:
        yield
    except OSError as cause:
        raise BundleError(f"{cause.filename or path} cannot be read: {cause.strerror or cause}") from cause
    except Exception as cause:  # damaged bytes end in any error of protobuf, json or struct
        raise BundleError(f"{path} is not a Core ML model, or is damaged: {cause}") from cause


def parsed(path: Path) -> tuple[Any, Path]:
    """The specification and its folder; raises whatever protobuf, json or the file system raises."""
    where = _root_file(path)
    spec: Any = Model_pb2.Model.FromString(where.read_bytes())
    if not spec.WhichOneof("Type") or not spec.specificationVersion:
        raise ValueError("it has no model or no version")
    return spec, where.parent


def _root_file(path: Path) -> Path:
    """The file of the model itself, which a package's manifest names."""
    if path.suffix != ".mlpackage":
        return path
    manifest = json.loads((path / "Manifest.json").read_bytes())
    item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    return path / "Data" / str(item["path"])
