"""Where host and device differ: the first layer whose output differs by more than a tolerance.

An `.onnx` file is given all its layers' outputs and runs once. It is first optimized as the runtime does
before it lays tensors out for a processor, so that the additional outputs do not prevent fusion. A `.pte`
file is truncated after one layer after another, by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgepack import formats, metrics
from edgepack.arrays import Array, Sample
from edgepack.emulator.arm import inference
from edgepack.emulator.job import Death, Job, write_samples
from edgepack.errors import BundleError
from edgepack.silence import quiet
from edgepack.target import Target

if TYPE_CHECKING:
    import onnx

_SAMPLES = "samples.npz"
INTEGER_TOLERANCE = 0.02
"""Largest relative error of a layer with integer outputs: a few codes of 255, as rounding may leave."""
FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Mismatch:
    """A layer whose output differs on the device."""

    layer: str
    operator: str
    relative: float
    """Largest difference over the largest value."""
    before: float
    """The same for the layers before it: how well its inputs agree."""


def find(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Mismatch | None:
    """The layer at which host and device first differ for one sample; None where all layers agree.

    Raises RuntimeError where the format does not allow it, or the device cannot run the layers.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    write_samples((sample,), scratch / _SAMPLES)
    if path.suffix == ".onnx":
        return _in_onnx(path, sample, target, scratch, time_limit)
    if path.suffix == ".pte":
        return _in_executorch(path, sample, target, scratch, time_limit)
    raise RuntimeError(f"the outputs of layers cannot be read from {path.suffix} files")


def _in_executorch(
    path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float
) -> Mismatch | None:
    with quiet():
        from edgepack.formats.executorch.truncate import Truncator

        try:
            whole = Truncator(path)
        except BundleError as cause:
            raise RuntimeError(str(cause)) from cause

    def differs(number: int) -> tuple[float, float]:
        layer, cut = whole.layers[number], scratch / "cut.pte"
        whole.write(layer, cut)
        with quiet():
            (here,) = formats.load("executorch").load(cut)(sample)
        (there,) = _on_device("executorch", cut, target, scratch, time_limit)
        return metrics.relative_error(there, here), _tolerance(here)

    found = bisected(len(whole.layers), differs)
    if found is None:
        return None
    layer = whole.layers[found.number]
    return Mismatch(layer.name, layer.kind, found.relative, found.before)


def _on_device(format_name: str, path: Path, target: Target, scratch: Path, time_limit: float) -> Sample:
    """The file's outputs for the sample on the device. Raises RuntimeError."""
    job = Job(format_name, str(path), str(scratch / _SAMPLES))
    found = inference.run(job, target, scratch / "run", time_limit, samples=1)
    if isinstance(found, Death):
        raise RuntimeError(found.reason)
    return found.outputs[0]


@dataclass(frozen=True)
class Bisected:
    """The number of the first layer that differs, its error, and that of the layer before it."""

    number: int
    relative: float
    before: float


def bisected(count: int, differs: Callable[[int], tuple[float, float]]) -> Bisected | None:
    """The first of `count` layers whose error is above its tolerance; None where the last one's is not.

    `differs` gives a layer's error and its tolerance.
    """
    agrees, mismatches, before = -1, count - 1, 0.0
    relative, tolerance = differs(mismatches) if count else (0.0, 0.0)
    if relative <= tolerance:
        return None
    while mismatches - agrees > 1:
        middle = (agrees + mismatches) // 2
        found, tolerance = differs(middle)
        if found > tolerance:
            mismatches, relative = middle, found
        else:
            agrees, before = middle, found
    return Bisected(mismatches, relative, before)


def _in_onnx(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Mismatch | None:
    tapped = scratch / "tapped.onnx"
    nodes = _tap(path, tapped)
    here = formats.load("onnx").load(tapped)(sample)
    there = _on_device("onnx", tapped, target, scratch, time_limit)
    return _first(nodes, here, there)


def _first(nodes: list[onnx.NodeProto], here: Sample, there: Sample) -> Mismatch | None:
    before = 0.0
    places = [(node, name) for node in nodes for name in node.output if name]
    for (node, name), a, b in zip(places, there[-len(places) :], here[-len(places) :], strict=True):
        found = metrics.relative_error(a, b)
        if found > _tolerance(b):
            return Mismatch(node.name or name, node.op_type, found, before)
        before = max(before, found)
    return None


def _tolerance(array: Array) -> float:
    small = array.dtype.itemsize == 1 and np.issubdtype(array.dtype, np.integer)
    return INTEGER_TOLERANCE if small else FLOAT_TOLERANCE


def _tap(path: Path, out: Path) -> list[onnx.NodeProto]:
    """Write the optimized model with all its layers' outputs as outputs; returns the layers in order."""
    with quiet():
        import onnx
        import onnxruntime

        from edgepack.formats.onnx.session import session_options

        chosen = session_options()
        chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        chosen.optimized_model_filepath = str(out)
        onnxruntime.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])
        model = onnx.load(out)
        nodes = list(model.graph.node)
        del model.graph.output[:]
        model.graph.output.extend(
            onnx.ValueInfoProto(name=name) for node in nodes for name in node.output if name
        )
        onnx.save(model, out)
    return nodes
