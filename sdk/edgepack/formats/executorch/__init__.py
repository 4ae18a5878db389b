"""ExecuTorch (`.pte`), delegated to XNNPACK: int8 by PT2E quantization, 4-bit weights by torchao's
`quantize_`, half precision; or to Core ML: half precision, weights in int8."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack import formats
from edgepack.errors import ExportError
from edgepack.formats import Description, Exported, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    from torch import Tensor as Weight
    from torch.fx import GraphModule, Node

    from edgepack.arrays import Array, Sample
    from edgepack.delegation import Delegation
    from edgepack.formats.executorch.core_ml import Share
    from edgepack.model.source import Source
    from edgepack.options import PruneKind

SUFFIX = ".pte"
READS = (".pte",)
SCHEMES: frozenset[SchemeName] = frozenset({"fp32", "fp16", "w8a8", "w8", "w4"})
ABOUT = "ExecuTorch program, delegated to XNNPACK on the CPU, or to Core ML"
EXTRA = "executorch"

_CORE_ML: frozenset[SchemeName] = frozenset({"fp32", "fp16", "w8"})
"""What is written for Core ML; its `w8` is weights alone."""
_MODULES = ("executorch", "torchao")
_PIECE = 1 << 16


def cannot_export() -> str:
    """What is not installed, and the command that brings it; empty where all is there."""
    missing = formats.missing_modules(_MODULES)
    return f"{', '.join(missing)} not installed; pip install 'edgepack[{EXTRA}]'" if missing else ""


def cannot_run(path: Path | None = None) -> str:
    """As `cannot_export`: the runtime's binding comes with the package, Core ML with macOS."""
    return cannot_export() if _in_core_ml(path) == "nothing" else formats.load("coreml").cannot_run()


def _in_core_ml(path: Path | None) -> Share:
    """How much of a file this host cannot run but evaluate."""
    if path is None or sys.platform == "darwin" or cannot_export() or formats.load("coreml").cannot_export():
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
    return formats.load("coreml").variant(target) if _is_core_ml(target) else ""


def _is_core_ml(target: Target) -> bool:
    choice = target.choice("executorch")
    return choice is not None and choice.delegate == "coreml"


def cannot_carry(scheme: SchemeName, target: Target) -> str:
    """Why files for a target cannot be of a scheme; empty if they can."""
    able = _CORE_ML if _is_core_ml(target) else SCHEMES
    if scheme not in able:
        whose = "its Core ML part" if _is_core_ml(target) else "executorch"
        return f"{whose} carries {', '.join(sorted(able))}"
    core_ml = formats.load("coreml")
    return core_ml.cannot_export() or core_ml.cannot_carry(scheme, target) if _is_core_ml(target) else ""


def keeps_float(graph: GraphModule, layer: Node, scheme: SchemeName) -> bool:
    """Whether files keep a layer in float: one that XNNPACK has no kernel for."""
    with quiet():
        from edgepack.formats.executorch import quantizer

    return bool(quantizer.refused(graph, layer, scheme))


def in_blocks(weight: Weight) -> Weight:
    """A linear layer's weight as `w4` holds it."""
    with quiet():
        from edgepack.formats.executorch import program

        return program.in_blocks(weight)


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Quantize where the recipe says so, lower to the target's delegate, and write the program."""
    from edgepack.formats.unsupported_operators import refusal

    if problem := cannot_carry(recipe.scheme, target):
        raise ExportError(problem)
    try:
        with quiet():
            write = _by_core_ml if _is_core_ml(target) else _by_xnnpack
            buffer, delegation, notes = write(source, recipe, target)
    except (ExportError, OSError):
        raise
    except Exception as cause:  # executorch's passes raise errors of no common base
        raise refusal("executorch", source.exported, cause) from cause
    path.write_bytes(buffer)
    free = source.contract.free_dims
    planned = (f"ExecuTorch plans its memory ahead: {', '.join(free)} is 1 in this file",) if free else ()
    return Exported((path,), notes=(*planned, *notes), delegation=delegation)


def _by_xnnpack(source: Source, recipe: Recipe, target: Target) -> tuple[bytes, Delegation, tuple[str, ...]]:
    del target
    from edgepack.formats.executorch import program

    built, notes = program.build(source, recipe)
    return *program.lowered(built, source.contract), notes


def _by_core_ml(source: Source, recipe: Recipe, target: Target) -> tuple[bytes, Delegation, tuple[str, ...]]:
    """Raises ExportError where layers differ: names of the model's layers do not reach Core ML."""
    from edgepack.formats.executorch import core_ml, program

    if set(recipe.layers.values()) - {recipe.scheme}:
        hint = "give a recipe without layers, or --format coreml"
        raise ExportError(
            "the Core ML part of a .pte is of one scheme, and the recipe names layers", hint=hint
        )
    with core_ml.repeatable():
        partitioner = core_ml.partitioner(recipe.scheme, variant(target))
        return *program.lowered(source.exported, source.contract, partitioner), ()


def no_gain(kind: PruneKind, target: Target) -> str:
    """Zeros buy nothing here; fewer channels do."""
    del target
    return (
        ""
        if kind == "channels"
        else "a .pte stores zeros like any other weight, and XNNPACK multiplies by them"
    )


def evaluator(path: Path | None = None) -> str:
    """What runs a file that Core ML runs, or a part of it, where that is not; else empty."""
    share = _in_core_ml(path)
    if share == "nothing":
        return ""
    beside = "; operators beside its part by torch's kernels, not ExecuTorch's" if share == "some" else ""
    return formats.load("coreml").evaluator() + beside


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
    if not evaluator(path):
        return _Program(path)
    with quiet():
        from edgepack.formats.executorch import core_ml

        return core_ml.load(path)


def describe(path: Path) -> Description:
    """What the file holds. Raises BundleError where it cannot be read."""
    from edgepack.formats.executorch import contents

    with quiet():
        return contents.describe(path)
