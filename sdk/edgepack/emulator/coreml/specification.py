"""Read the specification (protobuf) of a Core ML model or package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coremltools.proto import Model_pb2

from edgepack.errors import BundleError


def specification(path: Path) -> tuple[Any, Path]:
    """The specification of a model, and its folder. Raises BundleError if it cannot be read."""
    with readable(path):
        return parsed(path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Convert errors of missing and damaged files to BundleError."""
    try:
        yield
    except OSError as cause:
        raise BundleError(f"{cause.filename or path} cannot be read: {cause.strerror or cause}") from cause
    except Exception as cause:  # protobuf, json and struct raise any exception for a damaged file
        raise BundleError(f"{path} is not a Core ML model, or is damaged: {cause}") from cause


def parsed(path: Path) -> tuple[Any, Path]:
    """The specification of a model, and its folder. Raises any exception of protobuf, json or I/O."""
    file = _root_file(path)
    spec: Any = Model_pb2.Model.FromString(file.read_bytes())
    if not spec.WhichOneof("Type") or not spec.specificationVersion:
        raise ValueError("it has no model or no version")
    return spec, file.parent


def _root_file(path: Path) -> Path:
    """The file of the model, which the manifest of a package names."""
    if path.suffix != ".mlpackage":
        return path
    manifest = json.loads((path / "Manifest.json").read_bytes())
    item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    return path / "Data" / str(item["path"])
