"""The `.mlpackage` folder, written so that the same program gives the same bytes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

_MANIFEST = "Manifest.json"
_ENTRIES, _ROOT = "itemInfoEntries", "rootModelIdentifier"


def save(model: Any, path: Path) -> None:
    """Write a coremltools MLModel to `path`.

    coremltools draws the manifest's identifiers at random, and protocol buffers serialize a map in an order
    that changes from run to run unless `deterministic` is set (protobuf's documentation, "Serialization is
    not canonical").
    """
    model.save(str(path))
    manifest = json.loads((path / _MANIFEST).read_bytes())
    entries, root = manifest[_ENTRIES], manifest[_ENTRIES][manifest[_ROOT]]
    spec = path / "Data" / root["path"]
    spec.write_bytes(model.get_spec().SerializeToString(deterministic=True))
    manifest[_ENTRIES] = {_identifier(each): each for each in entries.values()}
    manifest[_ROOT] = _identifier(root)
    # coremltools sorts the keys, too, when it opens a package and saves it again
    text = json.dumps(manifest, indent=4, sort_keys=True)
    (path / _MANIFEST).write_text(text + "\n", encoding="utf-8")


def _identifier(entry: dict[str, str]) -> str:
    """A name-based UUID (RFC 9562, version 5) of an item's path."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper()
