"""Which operations of ML Programs are evaluated, and by whom."""

from __future__ import annotations

from typing import Literal, TypeAlias

from coremltools.converters.mil._deployment_compatibility import AvailableTarget
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from edgepack.emulator.mil import constexpr, ops

Evaluated: TypeAlias = Literal["torch", "coremltools", "missing"]
"""By edgepack's own code in torch or NumPy, by coremltools' own decompression, or not at all."""

_INTERNAL = "_"
_DIALECT = "coreml_update_state"
"""The one operation of packages that coremltools does not count among its core ones."""


def coverage() -> dict[str, Evaluated]:
    """Every operation of the iOS15 to iOS18 opsets by its MIL type, sorted."""
    newest = AvailableTarget.iOS18
    core = {name for name, versions in SSAOpRegistry.core_ops.items() if newest in versions}
    named = sorted(name for name in {*core, _DIALECT} if not name.startswith(_INTERNAL))
    return {name: _evaluated(name) for name in named}


def _evaluated(name: str) -> Evaluated:
    if name in ops.table() or name in constexpr.OWN:
        return "torch"
    return "coremltools" if name.startswith("constexpr_") else "missing"
