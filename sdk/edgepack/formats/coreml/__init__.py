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

from edgepack import scheme as schemes
from edgepack.errors import ExportError
from edgepack.formats.availability import Availability, missing
from edgepack.formats.description import Description
from edgepack.formats.protocol import Exported, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
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
SCHEMES: frozenset[SchemeName] = frozenset(
    {"fp32", "fp16", "w8", "w4", "w8a8", "p8", "p6", "p4", "sparse", "sparse+p6"}
)
ABOUT = "Core ML program, with ImageType input and classifier labels"
EXTRA = "coreml"
PACKAGES = ("coremltools",)
_EVALUATOR = "evaluated in torch, operation by operation (not Core ML)"
_SINCE: dict[SchemeName, int] = {
    "fp32": 15, "fp16": 15, "w8": 16, "p8": 16, "p6": 16, "p4": 16, "sparse": 16,
    "w8a8": 17, "w4": 18, "sparse+p6": 18,
}  # fmt: skip
"""The first iOS whose Core ML reads a scheme: ML Programs, constexpr operators, int8 activations
(quantize), 4-bit and blockwise integers, joint compression (coremltools' guide, optimization)."""


def availability(path: Path | None = None) -> Availability:
    """coremltools writes on any host; Core ML runs on macOS, elsewhere the evaluator does."""
    del path
    absent = missing(PACKAGES, EXTRA)
    if sys.platform == "darwin":
        return Availability(export=absent, run=absent)
    return Availability(absent, "Core ML runs on macOS only", "" if absent else _EVALUATOR)


def variant(target: Target) -> str:
    """The oldest iOS that the package must run on."""
    return f"iOS{_floor(target)}"


def cannot_carry(scheme: SchemeName, target: Target) -> str:
    """Why files for a target cannot be of a scheme; empty if they can."""
    floor = _floor(target)
    if floor >= _SINCE[scheme]:
        return ""
    return f"Core ML reads {scheme} from iOS {_SINCE[scheme]} on, and {target.name} begins at iOS {floor}"


def _floor(target: Target) -> int:
    return int(target.os.floor.split(".")[0])


def weight_storage() -> WeightStorage:
    """How packages store weights: a layer of few weights stays in float, as coremltools advises."""
    with quiet():
        from edgepack.formats.coreml import compress
        from edgepack.graph.weight_storage import WeightStorage

    return WeightStorage(_keeps_float, compress.in_blocks)


def _keeps_float(graph: GraphModule, layer: Node, scheme: SchemeName) -> bool:
    from edgepack.graph import layers as graphs
    from edgepack.graph.palettes import FEW

    if schemes.SCHEMES[scheme].is_float or (scheme == "w8a8" and layer.target not in graphs.TRANSPOSED):
        return False
    return graphs.constant(graph, graphs.weight_of(layer)).numel() <= FEW


def no_gain(kind: PruneKind, target: Target) -> str:
    """Empty: fewer channels make any package smaller, zeros those that are stored sparsely."""
    return "" if kind == "channels" else cannot_carry("sparse", target)


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Convert to an ML Program, compress it as the recipe says, and save. Raises ExportError."""
    for scheme in (recipe.scheme, *recipe.layers.values()):
        if reason := cannot_carry(scheme, target):
            carried = [
                each
                for each in SCHEMES
                if not schemes.SCHEMES[each].is_float and not cannot_carry(each, target)
            ]
            hint = f"it carries {', '.join(sorted(carried))}; or raise the target's floor ([os])"
            raise ExportError(reason, hint=hint)
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
