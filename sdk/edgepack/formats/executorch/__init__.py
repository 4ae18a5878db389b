"""ExecuTorch (`.pte`), delegated to XNNPACK: int8 by PT2E quantization, 4-bit weights by torchao's
`quantize_`, half precision; or to Core ML: half precision, weights in int8."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.errors import ExportError
from edgepack.formats import coreml, format_options
from edgepack.formats.availability import Availability, missing
from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description
from edgepack.formats.executorch import capability_table as tables
from edgepack.formats.executorch.options import Options
from edgepack.formats.protocol import Exported, Runner
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from edgepack.arrays import Array, Sample
    from edgepack.delegation import Delegation
    from edgepack.formats.executorch.core_ml import Share
    from edgepack.graph.weight_storage import WeightStorage
    from edgepack.model.source import Source

SUFFIX = ".pte"
READS = (".pte",)
ABOUT = "ExecuTorch program, delegated to XNNPACK on the CPU, or to Core ML"
EXTRA = "executorch"
PACKAGES = ("executorch", "torchao")
OPTIONS = Options

_PIECE = 1 << 16
_WITHOUT_LAYERS = "give a recipe without layers, or --format coreml"


def availability(path: Path | None = None) -> Availability:
    """The runtime's Python binding comes with the package. A file that Core ML runs, or a part of it, runs
    on macOS only; elsewhere the evaluator runs that part."""
    absent = missing(PACKAGES, EXTRA)
    share = _in_core_ml(path)
    if absent or share == "nothing":
        return Availability(export=absent, run=absent)
    core_ml = coreml.availability()
    beside = "; operators outside Core ML run in torch's kernels, not ExecuTorch's" if share == "some" else ""
    return Availability(absent, core_ml.run, core_ml.evaluator + beside)


def _in_core_ml(path: Path | None) -> Share:
    """How much of a file this host cannot run but evaluate."""
    if path is None or sys.platform == "darwin" or missing(PACKAGES, EXTRA) or coreml.availability().export:
        return "nothing"
    if not _names(path, b"CoreMLBackend"):  # its toolchain would count as the memory of any file
        return "nothing"
    with quiet():
        from edgepack.formats.executorch import core_ml

        return core_ml.share(path)


def _names(path: Path, backend: bytes) -> bool:
    """Whether a file that can be read holds a name, read in small pieces."""
    before = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if backend in before + piece:
                    return True
                before = piece[-len(backend) :]
    except OSError:
        return False
    return False


def variant(target: Target) -> str:
    """For XNNPACK one file serves all targets, since it picks its kernels on the device; a Core ML part
    is of the oldest iOS that it must run on."""
    return coreml.variant(target) if _is_core_ml(target) else ""


def _is_core_ml(target: Target) -> bool:
    return format_options.of(target, "executorch", Options).delegate == "coreml"


def check_target(target: Target) -> str:
    """Core ML is on iOS only."""
    wrong = _is_core_ml(target) and target.platform != "ios"
    return "delegate = 'coreml' is for executorch on iOS" if wrong else ""


def min_delegated(target: Target) -> float | None:
    """The target's option of that name."""
    return format_options.of(target, "executorch", Options).min_delegated


def capabilities(target: Target | None = None) -> Capabilities:
    """The schemes that the target's delegate computes, XNNPACK or Core ML."""
    if target is None:
        return tables.ANY
    if not _is_core_ml(target):
        return tables.XNNPACK
    problem = coreml.availability().export
    rows = (
        replace(row, refusal=problem or coreml.capabilities(target).refusal(row.scheme))
        for row in tables.CORE_ML.rows
    )
    return replace(tables.CORE_ML, rows=tuple(rows))


def weight_storage() -> WeightStorage:
    """How programs store weights: a layer that XNNPACK has no quantized kernel for stays in float."""
    with quiet():
        from edgepack.formats.executorch import program, quantizer
        from edgepack.graph.weight_storage import WeightStorage

    def keeps_float(graph: GraphModule, layer: Node, scheme: SchemeName) -> bool:
        return bool(quantizer.float_reason(graph, layer, scheme))

    return WeightStorage(keeps_float, program.in_blocks)


def float_reason(graph: GraphModule, layer: Node, scheme: SchemeName, target: Target) -> str:
    """XNNPACK's reason depends on the shapes and neighbours of a layer, too."""
    from edgepack.formats import operator_kinds

    if _is_core_ml(target):
        return operator_kinds.float_reason(capabilities(target), graph, layer, scheme)
    with quiet():
        from edgepack.formats.executorch import quantizer

    return quantizer.float_reason(graph, layer, scheme)


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Quantize where the recipe says so, lower to the target's delegate, and write the program."""
    from edgepack.formats.unsupported_operators import refusal

    if problem := capabilities(target).recipe_refusal(recipe):
        raise ExportError(problem, hint=_WITHOUT_LAYERS if _is_core_ml(target) and recipe.layers else "")
    try:
        with quiet():
            write = _by_core_ml if _is_core_ml(target) else _by_xnnpack
            buffer, delegation, notes = write(source, recipe, target)
    except (ExportError, OSError):
        raise
    except Exception as cause:  # executorch's passes raise errors of no common base
        raise refusal("executorch", source.exported, cause) from cause
    path.write_bytes(buffer)
    sizes = source.fixed_sizes
    planned = (f"ExecuTorch plans its memory ahead: {sizes} in this file",) if sizes else ()
    return Exported((path,), notes=(*planned, *notes), delegation=delegation)


def _by_xnnpack(source: Source, recipe: Recipe, target: Target) -> tuple[bytes, Delegation, tuple[str, ...]]:
    del target
    from edgepack.formats.executorch import program

    built, notes = program.build(source, recipe)
    return *program.lowered(built, source.contract), notes


def _by_core_ml(source: Source, recipe: Recipe, target: Target) -> tuple[bytes, Delegation, tuple[str, ...]]:
    from edgepack.formats.coreml import operators
    from edgepack.formats.executorch import core_ml, program

    built = program.prepared(source, operators.listed)
    with core_ml.repeatable():
        partitioner = core_ml.partitioner(recipe.scheme, variant(target))
        return *program.lowered(built, source.contract, partitioner), ()


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    with quiet():
        from executorch.runtime import Runtime

        Runtime.get()


class _Program:
    """A `.pte` in ExecuTorch's Python binding."""

    def __init__(self, path: Path) -> None:
        import torch

        torch.set_num_threads(1)
        with quiet():
            import executorch.kernels.quantized  # noqa: F401  # registers the quantized operators
            from executorch.runtime import Runtime

            self._program: Any = Runtime.get().load_program(path)
            self._method: Any = self._program.load_method("forward")

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        import torch

        outputs = self._method.execute([torch.from_numpy(array) for array in sample])
        return tuple(each.numpy().copy() for each in outputs)


def load(path: Path) -> Runner:
    """The program in ExecuTorch's runtime; where that lacks Core ML, in torch."""
    if not availability(path).evaluator:
        return _Program(path)
    with quiet():
        from edgepack.formats.executorch import core_ml

        return core_ml.load(path)


def describe(path: Path) -> Description:
    """What the file holds. Raises BundleError where it cannot be read."""
    from edgepack.formats.executorch import contents

    with quiet():
        return contents.describe(path)
