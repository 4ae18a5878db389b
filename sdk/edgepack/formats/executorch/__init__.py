"""ExecuTorch (`.pte`), delegated to XNNPACK: int8 by PT2E quantization, 4-bit weights by torchao's
`quantize_`, half precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack import formats
from edgepack.errors import ExportError
from edgepack.formats import Description, Exported, Runner
from edgepack.goal import PruneKind
from edgepack.quiet import quiet
from edgepack.recipe import Recipe, Scheme
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.goal import PruneKind
    from edgepack.samples import Array, Sample
    from edgepack.source import Source

SUFFIX = ".pte"
READS = (".pte",)
SCHEMES: frozenset[Scheme] = frozenset({"fp32", "fp16", "w8a8", "w8", "w4"})
ABOUT = "ExecuTorch program, delegated to XNNPACK on the CPU"
EXTRA = "executorch"

_MODULES = ("executorch", "torchao")


def cannot_export() -> str:
    """What is not installed, and the command that brings it; empty where all is there."""
    missing = formats.missing_modules(_MODULES)
    return f"{', '.join(missing)} not installed; pip install 'edgepack[{EXTRA}]'" if missing else ""


def cannot_run() -> str:
    """As `cannot_export`: the runtime's binding comes with the package."""
    return cannot_export()


def variant(target: Target) -> str:
    """One file serves all targets: XNNPACK picks its kernels on the device."""
    del target
    return ""


def cannot_carry(scheme: Scheme, target: Target) -> str:
    """Why files for a target cannot be of a scheme; empty if they can."""
    del target
    return "" if scheme in SCHEMES else f"executorch carries {', '.join(sorted(SCHEMES))}"


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Quantize where the recipe says so, lower to XNNPACK, and write the program."""
    del target
    from edgepack.formats._operators import refusal

    try:
        with quiet():
            from edgepack.formats.executorch import program

            built, notes = program.build(source, recipe)
            buffer, delegation = program.lowered(built)
    except (ExportError, OSError):
        raise
    except Exception as cause:  # executorch's passes raise errors of no common base
        raise refusal("executorch", source.exported, cause) from cause
    path.write_bytes(buffer)
    free = source.contract.free_dims
    planned = (f"ExecuTorch plans its memory ahead: {', '.join(free)} is 1 in this file",) if free else ()
    return Exported((path,), notes=(*planned, *notes), delegation=delegation)


def no_gain(kind: PruneKind, target: Target) -> str:
    """Zeros buy nothing here; fewer channels do."""
    del target
    return (
        ""
        if kind == "channels"
        else "a .pte stores zeros like any other weight, and XNNPACK multiplies by them"
    )


def evaluator() -> str:
    """Empty: its own runtime is on every host that writes it."""
    return ""


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
    """The program in ExecuTorch's runtime."""
    return _Program(path)


def describe(path: Path) -> Description:
    """What the file holds. Raises BundleError where it cannot be read."""
    from edgepack.formats.executorch import contents

    with quiet():
        return contents.describe(path)
