"""Which operations of ML Programs are evaluated, and by whom.

`python -m edgepack.emulator.coreml.coverage` prints OPERATIONS.md, which lies beside this file.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from coremltools.converters.mil._deployment_compatibility import AvailableTarget
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from edgepack.emulator.coreml import constexpr, ops

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


_ABOUT: dict[Evaluated, str] = {
    "torch": "edgepack, in torch or NumPy",
    "coremltools": "coremltools' own decompression",
    "missing": "**not evaluated**: an error names it and its place",
}
_PARTLY = {
    "conv_quantized": "`linear`; `lut` is an error, because the operation has no table",
    "random_bernoulli": "the distribution, not Core ML's numbers",
    "random_categorical": "the distribution, not Core ML's numbers",
    "random_normal": "the distribution, not Core ML's numbers",
    "random_uniform": "the distribution, not Core ML's numbers",
}
"""What is not the whole of an operation."""


def page() -> str:
    """The table of the docs: every operation, the first opset that has it, who evaluates it, and what not."""
    found = coverage()
    counts = [f"{sum(by == who for by in found.values())} by {about}" for who, about in _ABOUT.items()]
    lines = [
        "# Operations of ML Programs",
        "",
        f"Who evaluates the {len(found)} operations of coremltools' iOS 15 to 18 opsets: "
        f"{', '.join(counts[:-1])}, {list(found.values()).count('missing')} not evaluated.",
        "Printed by `python -m edgepack.emulator.coreml.coverage`.",
        "",
        "| operation | since | evaluated by | restriction |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_since(name)} | {_ABOUT[by]} | {_PARTLY.get(name, '')} |"
            for name, by in found.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _since(name: str) -> str:
    versions = SSAOpRegistry.core_ops.get(name, {})
    first = min((each.name for each in versions), default="iOS18")
    return first.replace("iOS", "iOS ")


if __name__ == "__main__":
    print(page(), end="")
