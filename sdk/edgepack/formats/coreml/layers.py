"""The layer of the model that each operator of a package comes from, in the package's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgepack.formats.coreml.trace import Names

KEY = "edgepack.layers"
"""Key of the user-defined metadata with module paths by operator name, as JSON."""


def written(program: Any, names: Names) -> str:
    """The value of `KEY` for a MIL program."""
    operations = (each for function in program.functions.values() for each in function.operations)
    paths = {each.name: names.layer(each) for each in operations if each.op_type != "const"}
    return json.dumps({name: path for name, path in paths.items() if path})


def read(metadata: Mapping[str, str]) -> dict[str, str]:
    """Module paths by operator name; empty where the package has none."""
    paths = json.loads(metadata.get(KEY, "{}"))
    return {str(name): str(path) for name, path in paths.items()}
