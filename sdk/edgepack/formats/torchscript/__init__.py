"""TorchScript for the lite interpreter of PyTorch Mobile (`.ptl`), int8 by the qnnpack engine.

Upstream has deprecated this format in favour of ExecuTorch; every file says so.
Quantization is TorchScript's graph mode (torch.ao.quantization.quantize_jit), which takes any
source, since all are traced from one exported graph.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgepack.errors import ExportError
from edgepack.formats import Description, Exported, Runner
from edgepack.quiet import quiet
from edgepack.recipe import Recipe, Scheme
from edgepack.target import Target

if TYPE_CHECKING:
    import torch

    from edgepack.samples import Array, Sample
    from edgepack.source import Source

SUFFIX = ".ptl"
READS = (".ptl", ".pt")
SCHEMES: frozenset[Scheme] = frozenset({"fp32", "w8a8"})
ABOUT = "TorchScript for PyTorch Mobile's lite interpreter (deprecated upstream)"
EXTRA = ""

_DEPRECATED = "the lite interpreter is deprecated upstream: move to the executorch .pte of this bundle"
_ENGINE = "qnnpack"


def cannot_export() -> str:
    """Empty: torch itself writes this format."""
    return ""


def cannot_run() -> str:
    """Why the lite interpreter's int8 kernels are not in this torch; empty where they are."""
    import torch

    engines = torch.backends.quantized.supported_engines
    return "" if _ENGINE in engines else f"this build of torch has no {_ENGINE} engine"


def variant(target: Target) -> str:
    """One file serves all targets."""
    del target
    return ""


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Trace, freeze (which folds batch norm), quantize where the recipe says so, and save."""
    del target
    import torch

    from edgepack.formats import _graph
    from edgepack.formats._operators import refusal

    notes = [_DEPRECATED]
    try:
        with quiet():
            script = torch.jit.freeze(_graph.traced(source.free, source.example))
            if recipe.scheme == "w8a8":
                script = _quantized(script, source)
                notes.append("qnnpack kernels; on an x86 host some of them differ from ARM's")
            script._save_for_lite_interpreter(str(path))
    except (RuntimeError, NotImplementedError, ValueError, AttributeError) as cause:
        raise refusal("torchscript", source.exported, cause) from cause
    return Exported((path,), notes=tuple(notes))


def _quantized(script: torch.jit.ScriptModule, source: Source) -> torch.jit.ScriptModule:
    import torch
    from torch.ao.quantization import QConfig, default_per_channel_weight_observer
    from torch.ao.quantization.observer import HistogramObserver
    from torch.ao.quantization.quantize_jit import convert_jit, prepare_jit

    from edgepack.source import tensors

    if source.calib is None:
        raise ExportError("torchscript w8a8 needs calibration samples (--calib)")
    config = QConfig(
        activation=HistogramObserver.with_args(reduce_range=False),
        weight=default_per_channel_weight_observer,
    )
    _views_as_reshapes(script)
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = _ENGINE
    try:
        with torch.no_grad():
            observed = prepare_jit(script, {"": config})
            for sample in source.calib.inputs:
                observed(*tensors(sample))
            return cast("torch.jit.ScriptModule", torch.jit.freeze(convert_jit(observed).eval()))
    finally:
        torch.backends.quantized.engine = before


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    importlib.import_module("torch.jit.mobile")


def _views_as_reshapes(script: torch.jit.ScriptModule) -> None:
    """qnnpack's kernels answer in channels-last order, of which no view can be taken."""
    import torch

    pattern = "graph(%x, %shape):\n  %y = aten::view(%x, %shape)\n  return (%y)"
    rewrite = torch._C._jit_pass_custom_pattern_based_rewrite_graph
    rewrite(pattern, pattern.replace("view", "reshape"), script.graph)


class _Lite:
    """A `.ptl` in the lite interpreter, with the kernels that a device has."""

    def __init__(self, path: Path) -> None:
        import torch
        from torch.jit.mobile import _load_for_lite_interpreter

        torch.set_num_threads(1)
        torch.backends.quantized.engine = _ENGINE
        with quiet():
            self._module = _load_for_lite_interpreter(str(path))

    def __call__(self, sample: Sample) -> tuple[Array, ...]:
        import torch
        from torch.utils._pytree import tree_leaves

        with torch.no_grad():
            outputs = self._module(*(torch.from_numpy(array) for array in sample))
        return tuple(each.numpy() for each in tree_leaves(outputs))


def load(path: Path) -> Runner:
    """The file in the lite interpreter, one thread."""
    return _Lite(path)


def describe(path: Path) -> Description:
    """What the file holds. Raises BundleError where it cannot be read."""
    from edgepack.formats.torchscript import contents

    with quiet():
        return contents.describe(path)
