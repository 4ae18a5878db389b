"""The operations of ML Programs that are evaluated, and what evaluates them.

`python -m edgepack.emulator.coreml.coverage` prints OPERATIONS.md.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from coremltools.converters.mil._deployment_compatibility import AvailableTarget
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from edgepack.emulator.coreml import constexpr, ops

Evaluated: TypeAlias = Literal["torch", "coremltools", "missing"]
"""By edgepack in torch or NumPy, by the decompression of coremltools, or not at all."""

_INTERNAL = "_"
_DIALECT = "coreml_update_state"
"""An operation of packages that is not among the core operations of coremltools."""


def coverage() -> dict[str, Evaluated]:
    """All operations of the opsets iOS15 to iOS18 by MIL type, sorted."""
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
    "missing": "**not evaluated**: an error names the operation",
}
_PARTLY = {
    "conv_quantized": "`linear`; `lut` is an error, because the operation has no table",
    "random_bernoulli": "the distribution, not Core ML's numbers",
    "random_categorical": "the distribution, not Core ML's numbers",
    "random_normal": "the distribution, not Core ML's numbers",
    "random_uniform": "the distribution, not Core ML's numbers",
}
"""Restrictions of operations that are not evaluated completely."""


def page() -> str:
    """The page of the docs: all operations, their first opset, what evaluates them, and restrictions."""
    operations = coverage()
    evaluators = list(operations.values())
    counts = [f"{evaluators.count(evaluator)} by {about}" for evaluator, about in _ABOUT.items()]
    lines = [
        "# Operations of ML Programs",
        "",
        f"Who evaluates the {len(operations)} operations of coremltools' iOS 15 to 18 opsets: "
        f"{', '.join(counts[:-1])}, {evaluators.count('missing')} not evaluated.",
        "Printed by `python -m edgepack.emulator.coreml.coverage`.",
        "",
        "| operation | since | evaluated by | restriction |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_since(name)} | {_ABOUT[evaluator]} | {_PARTLY.get(name, '')} |"
            for name, evaluator in operations.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _since(name: str) -> str:
    versions = SSAOpRegistry.core_ops.get(name, {})
    first = min((target.name for target in versions), default="iOS18")
    return first.replace("iOS", "iOS ")


if __name__ == "__main__":
    print(page(), end="")
