"""The Core ML evaluator compared with Core ML itself, on macOS, where both are available."""

from __future__ import annotations

from pathlib import Path

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.errors import BundleError
from edgepack.evaluate.model_file import ModelFile
from edgepack.formats import coreml

SAMPLES = 8


def notes(file: ModelFile, inputs: tuple[Sample, ...], here: tuple[Sample, ...]) -> tuple[str, ...]:
    """How the evaluator compares with `here`, the file's outputs on this host; empty where that was not
    Core ML."""
    if file.format != "coreml" or coreml.availability().run:
        return ()
    return (compared(file.path, inputs, here),)


def compared(path: Path, inputs: tuple[Sample, ...], here: tuple[Sample, ...]) -> str:
    """How the evaluator's outputs for the first `inputs` compare with Core ML's, in words."""
    try:
        run = coreml.evaluated(path)
        rows = [(run(sample), theirs) for sample, theirs in zip(inputs[:SAMPLES], here)]
    except BundleError as cause:
        return f"the evaluator in torch could not be compared with Core ML: {cause}"
    pairs = [(a, b) for ours, theirs in rows for a, b in zip(ours, theirs, strict=True)]
    cosine = min(metrics.cosine(a, b) for a, b in pairs)
    largest = max(metrics.relative_error(a, b) for a, b in pairs)
    return (
        f"the evaluator in torch and Core ML: cosine {cosine:.6g} on {len(rows)} samples, "
        f"largest difference {largest:.2g} of the largest value"
    )
