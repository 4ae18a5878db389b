"""The evaluator beside Core ML itself, where both are there (macOS): how far apart their answers are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.errors import BundleError
from edgepack.formats import coreml
from edgepack.report import Artifact

SAMPLES = 8


def told(artifact: Artifact, path: Path, inputs: tuple[Sample, ...], here: tuple[Sample, ...]) -> Artifact:
    """`artifact` with a note on how the evaluator's answers compare with `here`, what the file at `path`
    gave on this host; unchanged where that was not Core ML."""
    if artifact.format != "coreml" or coreml.availability().run:
        return artifact
    return replace(artifact, notes=(*artifact.notes, compared(path, inputs, here)))


def compared(path: Path, inputs: tuple[Sample, ...], here: tuple[Sample, ...]) -> str:
    """How the evaluator's answers to the first `inputs` compare with Core ML's, in words."""
    try:
        run = coreml.evaluated(path)
        rows = [(run(sample), theirs) for sample, theirs in zip(inputs[:SAMPLES], here)]
    except BundleError as cause:
        return f"the evaluator in torch could not be held against Core ML: {cause}"
    pairs = [(a, b) for ours, theirs in rows for a, b in zip(ours, theirs, strict=True)]
    cosine = min(metrics.cosine(a, b) for a, b in pairs)
    apart = max(metrics.relative_error(a, b) for a, b in pairs)
    return (
        f"the evaluator in torch and Core ML: cosine {cosine:.6g} on {len(rows)} samples, "
        f"largest difference {apart:.2g} of the largest value"
    )
