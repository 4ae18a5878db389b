"""The operations of ML Programs in torch, in modules named like those of coremltools (`mil/ops/defs`).

Each module ends with `OPS`: its operations by their MIL type. Modules are discovered, not listed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import cast

from edgepack.emulator.coreml.operation import Op


@cache
def table() -> Mapping[str, Op]:
    """All operations that are implemented in torch, by their MIL type."""
    operations: dict[str, Op] = {}
    for module in pkgutil.iter_modules(__path__):
        operations |= cast("Mapping[str, Op]", importlib.import_module(f"{__name__}.{module.name}").OPS)
    return operations
