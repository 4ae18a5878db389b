"""ONNX (`.onnx`) and ONNX Runtime's own form of it (`.ort`), int8 as QDQ.

How a model is quantized depends on the execution provider: ONNX Runtime's CPU kernels need unsigned
activations; TensorRT supports symmetric int8 with float bias only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.formats import format_options
from edgepack.formats.availability import Availability, missing
from edgepack.formats.capability import Capabilities
from edgepack.formats.description import Description
from edgepack.formats.onnx import capability_table as tables
from edgepack.formats.onnx.options import Options
from edgepack.formats.protocol import Exported, Runner
from edgepack.options import PruneKind
from edgepack.recipe import Recipe
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    from edgepack.model.source import Source

SUFFIX = ".onnx"
READS = (".onnx", ".ort")
ABOUT = "ONNX, and ONNX Runtime's .ort with the operators that a reduced build needs"
EXTRA = "onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPTIONS = Options


def availability(path: Path | None = None) -> Availability:
    """ONNX Runtime both runs files and writes the `.ort`."""
    del path
    return Availability(export=missing(PACKAGES, EXTRA), run=missing(["onnxruntime"], EXTRA))


def variant(target: Target) -> str:
    """The execution provider and the operator set: both change the file."""
    chosen = _options(target)
    return f"{chosen.provider}, opset {chosen.opset}"


def files(target: Target) -> int:
    """The `.onnx`, and the `.ort` for ONNX Runtime's CPU provider."""
    return 2 if _options(target).provider == "cpu" else 1


def _options(target: Target) -> Options:
    return format_options.of(target, "onnx", Options)


def capabilities(target: Target | None = None) -> Capabilities:
    """The schemes that ONNX Runtime's CPU provider runs; for TensorRT, those that it runs."""
    return tables.BY_PROVIDER[_options(target).provider] if target else tables.CPU


def no_gain(kind: PruneKind, target: Target) -> str:
    """Only fewer channels make a file smaller or faster; with TensorRT 2:4 sparsity does, too."""
    if kind == "channels" or (kind == "2:4" and _options(target).provider == "tensorrt"):
        return ""
    return "ONNX stores zeros like any other weight, and only TensorRT has faster kernels for 2:4"


def export(source: Source, recipe: Recipe, target: Target, path: Path) -> Exported:
    """Write the `.onnx`; for ONNX Runtime's CPU provider the `.ort` and its operator list, too."""
    provider = _options(target).provider
    with quiet():
        from edgepack.formats.onnx import float_export, model_file, quantize

        model = float_export.float_model(source, _options(target).opset, path)
        notes = quantize.apply(model, source, recipe, provider, path)
        model_file.add_contract(path, source.contract)
    if provider != "cpu":
        note = f"written for {provider}; run here by ONNX Runtime's CPU provider, not by {provider}"
        return Exported((path,), notes=(*notes, note), timed=False)
    ort = path.with_suffix(".ort")
    config = path.with_suffix(".required_operators.config")
    with quiet():
        from edgepack.formats.onnx import session

        if refused := session.write_ort(path, ort):
            return Exported((path,), notes=(*notes, f"no .ort: ONNX Runtime refuses the .onnx: {refused}"))
        session.write_operators(ort, config)
    return Exported((path, ort), (config,), notes=notes)


def import_runtime() -> None:
    """Import ONNX Runtime."""
    from edgepack.formats.onnx import session

    session.runtime()


def load(path: Path) -> Runner:
    """The file in ONNX Runtime's CPU provider, on one thread."""
    from edgepack.formats.onnx import session

    return session.Session(path)


def describe(path: Path) -> Description:
    """What the file contains. Raises BundleError where it cannot be read."""
    from edgepack.formats.onnx import contents

    with quiet():
        return contents.describe(path)
