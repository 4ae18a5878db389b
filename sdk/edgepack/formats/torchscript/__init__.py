"""TorchScript for the lite interpreter of PyTorch Mobile (`.ptl`), int8 by the qnnpack engine.

Upstream has deprecated this format in favour of ExecuTorch; every file says so.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.formats.availability import Availability
from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description
from edgepack.formats.protocol import Exported, Runner
from edgepack.formats.torchscript.capability_table import QNNPACK
from edgepack.recipe import Recipe
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.arrays import Array, Sample
    from edgepack.model.source import Source

SUFFIX = ".ptl"
READS = (".ptl", ".pt")
ABOUT = "TorchScript for PyTorch Mobile's lite interpreter (deprecated upstream)"
EXTRA = ""

_DEPRECATED = "the lite interpreter is deprecated upstream: move to the executorch .pte of this bundle"
_ENGINE = "qnnpack"
_KERNELS = "int8 ran in this host's qnnpack kernels; their speed says nothing about an ARM device"


def availability(path: Path | None = None) -> Availability:
    """torch writes this format. Its int8 kernels are asked for where there is a file to run, because that
    imports torch."""
    return Availability(run=_engine_missing() if path else "")


def _engine_missing() -> str:
    import torch

    engines = torch.backends.quantized.supported_engines
    return "" if _ENGINE in engines else f"this build of torch has no {_ENGINE} engine"


def capabilities(target: Target | None = None) -> Capabilities:
    """The schemes that qnnpack has kernels for."""
    del target
    return QNNPACK


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Put int8 kernels where the recipe says so, trace, and save."""
    del target
    import torch

    from edgepack.formats import contract_metadata
    from edgepack.formats.torchscript import lower
    from edgepack.formats.unsupported_operators import refusal

    try:
        with quiet(), _engine(), torch.no_grad():
            module, notes = lower.lowered(source, recipe)
            script = torch.jit.trace(module, source.example, check_trace=False).eval()
            extra = {contract_metadata.KEY: contract_metadata.written(source.contract)}
            script._save_for_lite_interpreter(str(path), _extra_files=extra)
    except (RuntimeError, NotImplementedError, ValueError, AttributeError) as cause:
        raise refusal("torchscript", source.exported, cause) from cause
    is_float = all(each.is_float for each in recipe.schemes)
    told = (_DEPRECATED, *notes) if is_float else (_DEPRECATED, _KERNELS, *notes)
    return Exported((path,), notes=told, timed=is_float or _is_arm())


def _is_arm() -> bool:
    """Whether this host's qnnpack kernels are those of a device."""
    return platform.machine().lower() in ("aarch64", "arm64")


@contextmanager
def _engine() -> Iterator[None]:
    """The kernels that a device has, for which weights are packed."""
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = _ENGINE
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def import_runtime() -> None:
    """Bring the bare runtime into memory."""
    importlib.import_module("torch.jit.mobile")


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
