"""Make torchvision importable beside a torch that was built for another device.

The compiled operators of torchvision's usual Linux build link CUDA libraries. Beside a CPU build of torch
they cannot be loaded, and `import torchvision` then fails because the schemas of two operators are missing:
"operator torchvision::nms does not exist". Models, weights metadata and transforms need neither operator.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_KEPT: list[torch.library.Library] = []
"""A library's schemas exist as long as it does."""


@cache
def declare() -> None:
    """Declare the operators that torchvision needs to be imported, if its own cannot be loaded.

    To be called before any code that may import torchvision. torchvision itself is not imported.
    """
    found = importlib.util.find_spec("torchvision")
    if "torchvision" in sys.modules or found is None or found.origin is None:
        return
    for compiled in Path(found.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _KEPT.append(library)
