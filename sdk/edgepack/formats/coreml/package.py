"""The folder that is an `.mlpackage`: the same program gives the same bytes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

_MANIFEST = "Manifest.json"
_ENTRIES, _ROOT = "itemInfoEntries", "rootModelIdentifier"


def save(model: Any, path: Path) -> None:
    """Write a coremltools MLModel to `path`.

    coremltools draws the manifest's identifiers at random, and protocol buffers write the entries of
    a map in an order that changes from run to run unless asked not to (its docs, "Serialization is
    not canonical").
    """
    model.save(str(path))
    manifest = json.loads((path / _MANIFEST).read_bytes())
    items = sorted(manifest[_ENTRIES].items(), key=lambda item: str(item[1]["path"]))
    named = {key: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper() for key, entry in items}
    root = manifest[_ROOT]
    spec = path / "Data" / manifest[_ENTRIES][root]["path"]
    spec.write_bytes(model.get_spec().SerializeToString(deterministic=True))
    manifest[_ENTRIES] = {named[key]: entry for key, entry in items}
    manifest[_ROOT] = named[root]
    (path / _MANIFEST).write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")
