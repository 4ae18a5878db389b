"""The operations of ML Programs in torch, one module a kind, as Apple's reference sorts them.

A module of this package is found by its name and ends in `OPS`: operations by their MIL type.
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
    """Every operation that is computed in torch, by its MIL type."""
    found: dict[str, Op] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= cast("Mapping[str, Op]", importlib.import_module(f"{__name__}.{module.name}").OPS)
    return found
