"""ExecuTorch (`.pte`), delegated to XNNPACK, int8 by PT2E quantization (torchao)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack import formats
from edgepack.errors import ExportError
from edgepack.formats import Description, Exported, Runner
from edgepack.quiet import quiet
from edgepack.recipe import Recipe, Scheme
from edgepack.target import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from edgepack.samples import Array, Sample
    from edgepack.source import Source

SUFFIX = ".pte"
READS = (".pte",)
SCHEMES: frozenset[Scheme] = frozenset({"fp32", "w8a8"})
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


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Quantize where the recipe says so, lower to XNNPACK, and write the program."""
    del target
    from edgepack.formats._operators import refusal

    program = source.exported
    try:
        with quiet():
            if recipe.scheme == "w8a8":
                program = _quantized(source)
            buffer = _lowered(program)
    except (ExportError, OSError):
        raise
    except Exception as cause:  # executorch's passes raise errors of no common base
        raise refusal("executorch", source.exported, cause) from cause
    path.write_bytes(buffer)
    free = source.contract.free_dims
    notes = (f"ExecuTorch plans its memory ahead: {', '.join(free)} is 1 in this file",) if free else ()
    return Exported((path,), notes=notes)


def _quantized(source: Source) -> ExportedProgram:
    """int8, per-channel weights, static activations; PT2E as XNNPACK's quantizer annotates it."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgepack.source import tensors

    if source.calib is None:
        raise ExportError("executorch w8a8 needs calibration samples (--calib)")
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(source.exported.module(), quantizer)
    _join_clamps(observed)
    with torch.no_grad():
        for sample in source.calib.inputs:
            observed(*tensors(sample))
    quantized: ExportedProgram = torch.export.export(convert_pt2e(observed), source.example, strict=False)
    return quantized


def _join_clamps(observed: GraphModule) -> None:
    """Leave no observer between a convolution or linear layer and the ReLU6 that clamps it.

    XNNPACKQuantizer puts one there, so the unclamped range sets the scale and most of the int8 codes
    are lost above 6; XNNPACK itself fuses the two.
    """
    import torch

    clamps = {torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default}
    sums = {torch.ops.aten.conv2d.default, torch.ops.aten.conv1d.default, torch.ops.aten.linear.default}
    for node in list(observed.graph.nodes):
        if node.op != "call_function" or node.target not in clamps:
            continue
        observer = node.args[0]
        if observer.op != "call_module" or len(observer.users) != 1:
            continue
        producer = observer.args[0]
        if producer.op == "call_function" and producer.target in sums and len(producer.users) == 1:
            observer.replace_all_uses_with(producer)
            observed.graph.erase_node(observer)
    observed.recompile()


def _lowered(program: ExportedProgram) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    buffer: bytes = edge.to_executorch().buffer
    return buffer


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
