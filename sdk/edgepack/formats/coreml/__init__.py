"""Core ML programs (`.mlpackage`): fp16 by default, weights in integers, palettes or without their zeros.

A picture goes in as a picture (`ImageType`), and a classifier's labels stand in the package
(`ClassifierConfig`), with the contract's activation inside the program so that scores are scores.
Writing works anywhere. Core ML runs on macOS; elsewhere `edgepack.emulator.coreml` evaluates the program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.errors import ExportError
from edgepack.formats.availability import Availability, missing
from edgepack.formats.capability import Capabilities
from edgepack.formats.coreml import capability_table as tables
from edgepack.formats.description import Description
from edgepack.formats.protocol import Exported, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgepack.arrays import Array, Sample
    from edgepack.formats.coreml.features import Features
    from edgepack.graph.weight_storage import WeightStorage
    from edgepack.model.source import Source

SUFFIX = ".mlpackage"
READS = (".mlpackage", ".mlmodel")
ABOUT = "Core ML program, with ImageType input and classifier labels"
EXTRA = "coreml"
PACKAGES = ("coremltools",)
_EVALUATOR = "evaluated in torch, operation by operation (not Core ML)"


def availability(path: Path | None = None) -> Availability:
    """coremltools writes on any host; Core ML runs on macOS, elsewhere the evaluator does."""
    del path
    absent = missing(PACKAGES, EXTRA)
    if sys.platform == "darwin":
        return Availability(export=absent, run=absent)
    return Availability(absent, "Core ML runs on macOS only", "" if absent else _EVALUATOR)


def variant(target: Target) -> str:
    """The oldest iOS that the package must run on."""
    return f"iOS{tables.floor(target)}"


def capabilities(target: Target | None = None) -> Capabilities:
    """The schemes that Core ML of the target's oldest iOS reads."""
    return tables.of(target)


def weight_storage() -> WeightStorage:
    """How packages store weights: a layer of few weights stays in float, as coremltools advises."""
    with quiet():
        from edgepack.formats.coreml import compress
        from edgepack.graph.weight_storage import WeightStorage

    return WeightStorage(_keeps_float, compress.in_blocks)


def _keeps_float(graph: GraphModule, layer: Node, scheme: SchemeName) -> bool:
    from edgepack.formats import operator_kinds

    return bool(operator_kinds.float_reason(capabilities(), graph, layer, scheme))


def no_gain(kind: PruneKind, target: Target) -> str:
    """Empty: fewer channels make any package smaller, zeros those that are stored sparsely."""
    return "" if kind == "channels" else capabilities(target).refusal("sparse")


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Convert to an ML Program, compress it as the recipe says, and save. Raises ExportError."""
    table = capabilities(target)
    if reason := table.recipe_refusal(recipe):
        carried = ", ".join(sorted(name for name in table.schemes if not SCHEMES[name].is_float))
        raise ExportError(reason, hint=f"it carries {carried}; or raise the target's floor ([os])")
    with quiet():
        from edgepack.formats.coreml import convert

        return convert.write(source, recipe, variant(target), path)


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    with quiet():
        if availability().evaluator:
            from edgepack.emulator import coreml  # noqa: F401
        else:
            import coremltools  # noqa: F401


class _Package:
    """A `.mlpackage` that edgepack wrote, fed from the contract's tensors."""

    def __init__(self, predict: Callable[[dict[str, Any]], dict[str, Any]], features: Features) -> None:
        self._predict = predict
        self._features = features

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        return self._features.outputs_of(self._predict(self._features.inputs_of(sample)))


def load(path: Path) -> Runner:
    """The package in Core ML; where that is not, in torch. Raises BundleError where it cannot be read."""
    if availability().evaluator:
        return evaluated(path)
    with quiet():
        import coremltools

        from edgepack.formats.coreml import features

        model = coremltools.models.MLModel(str(path))
        return _Package(model.predict, features.read(model.user_defined_metadata))


def evaluated(path: Path) -> Runner:
    """The package in torch, on any host. Raises BundleError where it cannot be read or evaluated."""
    with quiet():
        from edgepack.emulator import coreml
        from edgepack.formats.coreml import features

        program = coreml.read(path)
        return _Package(program.run, features.read(program.metadata))


def describe(path: Path) -> Description:
    """What the package holds. Raises BundleError where it cannot be read."""
    with quiet():
        from edgepack.formats.coreml import contents

        return contents.describe(path)
