"""Core ML programs (`.mlpackage`): fp16 by default, int8 weights, 6-bit palettes.

A picture goes in as a picture (`ImageType`), and a classifier's labels stand in the package
(`ClassifierConfig`), with the contract's activation inside the program so that scores are scores.
Writing works anywhere; running needs macOS.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack import formats
from edgepack.formats import Description, Exported, Runner
from edgepack.quiet import quiet
from edgepack.recipe import Recipe, Scheme
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.samples import Array, Sample
    from edgepack.source import Source

SUFFIX = ".mlpackage"
READS = (".mlpackage", ".mlmodel")
SCHEMES: frozenset[Scheme] = frozenset({"fp32", "fp16", "w8", "p6"})
ABOUT = "Core ML program, with ImageType input and classifier labels"
EXTRA = "coreml"


def cannot_export() -> str:
    """What is not installed, and the command that brings it; empty where all is there."""
    missing = formats.missing_modules(["coremltools"])
    return f"coremltools not installed; pip install 'edgepack[{EXTRA}]'" if missing else ""


def cannot_run() -> str:
    """Core ML is a part of macOS; empty there."""
    return cannot_export() if sys.platform == "darwin" else "Core ML runs on macOS only"


def variant(target: Target) -> str:
    """The oldest iOS that the package must run on."""
    return f"iOS{target.os.floor.split('.')[0]}"


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Convert to an ML Program, compress its weights as the recipe says, and save."""
    with quiet():
        from edgepack.formats.coreml import convert

        return convert.write(source, recipe, variant(target), path)


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    with quiet():
        import coremltools  # noqa: F401


class _Package:
    """A `.mlpackage` in Core ML, fed from the contract's tensors; macOS only."""

    def __init__(self, path: Path) -> None:
        with quiet():
            import coremltools

            self._model: Any = coremltools.models.MLModel(str(path))
            from edgepack.formats.coreml import convert

            self._contract = convert.contract_of(self._model.user_defined_metadata)

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        from edgepack.formats.coreml import convert

        return convert.answered(self._contract, self._model.predict(convert.fed(self._contract, sample)))


def load(path: Path) -> Runner:
    """The package in Core ML."""
    return _Package(path)


def describe(path: Path) -> Description:
    """What the package holds. Raises BundleError where it cannot be read."""
    with quiet():
        from edgepack.formats.coreml import contents

        return contents.describe(path)
