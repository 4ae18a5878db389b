"""The grammar of `--input`: an input's kind and shape in one word."""

from __future__ import annotations

import re

from edgepack.errors import PlanError

_TENSOR = re.compile(r"^(?:(?P<name>[A-Za-z_]\w*)=)?tensor:(?P<shape>[^:]+)(?::(?P<dtype>\w+))?$")
_IMAGE = re.compile(r"^(?:(?P<name>[A-Za-z_]\w*)=)?image:(?P<height>\d+)(?:x(?P<width>\d+))?$")


def parse_input(spec: str, position: int) -> dict[str, object]:
    """The `[input]` table for `--input SPEC`; `position` is the number of the input, from 0.

    `spec` is `tensor:1x3x224x224[:float32]` or `image:224[x224]`, optionally after `name=`. Raises
    PlanError if it is neither.
    """
    default = "input" if position == 0 else f"input_{position}"
    if match := _TENSOR.match(spec):
        dims = [int(dim) if dim.isdigit() else dim for dim in match["shape"].split("x")]
        table: dict[str, object] = {"kind": "tensor", "shape": dims}
        table["name"] = match["name"] or default
        if match["dtype"]:
            table["dtype"] = match["dtype"]
        return table
    if match := _IMAGE.match(spec):
        height, width = int(match["height"]), int(match["width"] or match["height"])
        table = {"kind": "image", "size": [height, width]}
        if match["name"]:
            table["name"] = match["name"]
        return table
    raise PlanError(
        f"--input '{spec}' is not understood",
        hint="write tensor:1x3x224x224[:float32] or image:224[x224], optionally after name=",
    )
