"""edgepack: from a PyTorch model and a device to checked model files and app code.

    reports = edgepack.build("net.py:model", targets=["raspberry-pi-5"], calib="photos/")
    report = edgepack.check("dist/raspberry-pi-5")
    description = edgepack.inspect("dist/raspberry-pi-5/model/net-w8a8.onnx")

Each does what the command of its name does, and returns what the command prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.errors import (
    BundleError,
    EdgepackError,
    ExportError,
    PlanError,
    SourceError,
    TargetError,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from edgepack.formats import Description
    from edgepack.options import BuildKeywords
    from edgepack.progress import Progress
    from edgepack.report import Report

__all__ = [
    "BundleError",
    "EdgepackError",
    "ExportError",
    "PlanError",
    "SourceError",
    "TargetError",
    "build",
    "check",
    "inspect",
]


def build(model: str, *, progress: Progress | None = None, **options: Unpack[BuildKeywords]) -> list[Report]:
    """Build one bundle per target, and return their reports; `Report.passed` is the verdict.

    The keywords are the fields of `BuildOptions`, one per flag of `edgepack build`. The model's
    `edgepack.toml`, the target or the default decides what is not given. Raises an EdgepackError, and then
    writes nothing.
    """
    from edgepack import options as choices
    from edgepack import pipeline, plan

    return pipeline.build(plan.resolve(choices.parse({**options, "model": model})), progress)


def check(bundle: str | Path, *, emulator: bool = True, progress: Progress | None = None) -> Report:
    """Run every artifact of a bundle again and compare. Raises BundleError where it is no bundle."""
    from edgepack import verify

    return verify.check(Path(bundle), progress, emulator=emulator)


def inspect(path: str | Path) -> Description:
    """What a model file holds: inputs, outputs, operators, precision, bytes by layer.

    Of a file in a bundle, with what the bundle's report tells of its delegates.
    Raises BundleError where the file is missing, damaged, or of a kind that no format reads.
    """
    from edgepack import bundle

    return bundle.inspect(Path(path))
