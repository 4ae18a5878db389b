"""Where host and device part: a layer whose answers differ by more than a tolerance, those before by less.

An `.onnx` gives the answers of all its layers in one run. It is first optimized as the runtime does before
it lays tensors out for a processor, so that asking for them does not keep it from fusing layers. A `.pte` is
cut off behind one layer after another, by bisection.
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
"""Most relative error of a layer that answers integers: a few codes of 255, as rounding may leave."""
FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parting:
    """A layer that answers otherwise on the device."""

    layer: str
    operator: str
    relative: float
    """Largest difference over the largest value."""
    before: float
    """The same, of layers before it: how well what it was given agrees."""


def parted(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Parting | None:
    """A layer that parts for one sample, where those before it do not; None where all agree.

    Raises RuntimeError where its layers cannot be asked for, or run on the device.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    write_samples((sample,), scratch / _SAMPLES)
    if path.suffix == ".onnx":
        return _tapped(path, sample, target, scratch, time_limit)
    if path.suffix == ".pte":
        return _cut(path, sample, target, scratch, time_limit)
    raise RuntimeError(f"{path.suffix} files do not give what their layers answer")


def _cut(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Parting | None:
    with quiet():
        from edgepack.formats.executorch.truncate import Cut

        try:
            whole = Cut(path)
        except BundleError as cause:
            raise RuntimeError(str(cause)) from cause

    def differs(number: int) -> tuple[float, float]:
        layer, cut = whole.layers[number], scratch / "cut.pte"
        whole.write(layer, cut)
        with quiet():
            (here,) = formats.load("executorch").load(cut)(sample)
        (there,) = _there("executorch", cut, target, scratch, time_limit)
        return metrics.relative_error(there, here), _tolerance(here)

    found = bisected(len(whole.layers), differs)
    if found is None:
        return None
    layer = whole.layers[found.number]
    return Parting(layer.name, layer.kind, found.relative, found.before)


def _there(format_name: str, path: Path, target: Target, scratch: Path, time_limit: float) -> Sample:
    """What the file answers to the sample on the device. Raises RuntimeError."""
    job = Job(format_name, str(path), str(scratch / _SAMPLES))
    found = inference.run(job, target, scratch / "run", time_limit, samples=1)
    if isinstance(found, Death):
        raise RuntimeError(found.reason)
    return found.outputs[0]


@dataclass(frozen=True)
class Bisected:
    """A layer that parts by its number, with its difference and that of the one before."""

    number: int
    relative: float
    before: float


def bisected(count: int, differs: Callable[[int], tuple[float, float]]) -> Bisected | None:
    """A layer of `count` whose difference is over its tolerance, as `differs` tells both, while that of the
    one before it is not; None where the last is not over its own."""
    agrees, parts, before = -1, count - 1, 0.0
    relative, tolerance = differs(parts) if count else (0.0, 0.0)
    if relative <= tolerance:
        return None
    while parts - agrees > 1:
        middle = (agrees + parts) // 2
        found, tolerance = differs(middle)
        if found > tolerance:
            parts, relative = middle, found
        else:
            agrees, before = middle, found
    return Bisected(parts, relative, before)


def _tapped(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Parting | None:
    tapped = scratch / "tapped.onnx"
    nodes = _tap(path, tapped)
    here = formats.load("onnx").load(tapped)(sample)
    there = _there("onnx", tapped, target, scratch, time_limit)
    return _first(nodes, here, there)


def _first(nodes: list[onnx.NodeProto], here: Sample, there: Sample) -> Parting | None:
    before = 0.0
    places = [(node, name) for node in nodes for name in node.output if name]
    for (node, name), a, b in zip(places, there[-len(places) :], here[-len(places) :], strict=True):
        found = metrics.relative_error(a, b)
        if found > _tolerance(b):
            return Parting(node.name or name, node.op_type, found, before)
        before = max(before, found)
    return None


def _tolerance(array: Array) -> float:
    small = array.dtype.itemsize == 1 and np.issubdtype(array.dtype, np.integer)
    return INTEGER_TOLERANCE if small else FLOAT_TOLERANCE


def _tap(path: Path, out: Path) -> list[onnx.NodeProto]:
    """Write the optimized model with the answers of all its layers as outputs; its layers in order."""
    with quiet():
        import onnx
        import onnxruntime

        from edgepack.formats.onnx import session_options

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
