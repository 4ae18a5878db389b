"""edgepack: from a PyTorch model and a device to checked model files and app code.

    reports = edgepack.build("net.py:model", targets=["raspberry-pi-5"], calib="photos/")
    report = edgepack.check("dist/raspberry-pi-5")
    description = edgepack.inspect("dist/raspberry-pi-5/model/net-w8a8.onnx")

Each does what the command of its name does, and returns what the command prints.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    from edgepack.formats import Description
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


def build(
    model: str,
    *,
    targets: Sequence[str] = (),
    formats: Sequence[str] = (),
    weights: str = "",
    inputs: Sequence[str] = (),
    calib: str = "",
    eval: str = "",
    labels: str = "",
    out: str = "",
    trust_pickle: bool = False,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    scheme: str = "",
    prune: str = "",
    recover: float | None = None,
    search_budget: float | None = None,
    seed: int | None = None,
    recipe: str = "",
    bake_preprocessing: bool = False,
    bake_argmax: bool = False,
    emulator: bool | None = None,
    progress: Progress | None = None,
) -> list[Report]:
    """Build one bundle a target, and return their reports; `Report.passed` is the verdict.

    The arguments are those of `edgepack build`; what is empty is settled by the model's
    `edgepack.toml` or the target. Raises an EdgepackError, and then leaves nothing behind.
    """
    from edgepack import options, pipeline, plan

    wishes = options.of_flags(
        max_drop=max_drop,
        min_agreement=min_agreement,
        scheme=scheme,
        prune=prune,
        recover=recover,
        search_budget=search_budget,
        seed=seed,
    )
    choices = plan.Choices(
        model=model,
        targets=tuple(targets),
        formats=tuple(formats),
        weights=weights,
        inputs=tuple(inputs),
        calib=calib,
        eval=eval,
        labels=labels,
        out=out,
        trust_pickle=trust_pickle,
        compress=wishes,
        recipe=recipe,
        bake=bake_preprocessing,
        argmax=bake_argmax,
        emulator=emulator,
    )
    return pipeline.build(plan.resolve(choices), progress)


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
