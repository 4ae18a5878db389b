"""Where host and device part: the first layer of an `.onnx` whose answers differ by more than a tolerance.

The file is first optimized as the runtime does before it lays tensors out for a processor, so that
asking for what its layers answer does not keep it from fusing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgepack import formats
from edgepack.emulator import host
from edgepack.emulator.arm import device, verdict
from edgepack.emulator.host import Death, Job
from edgepack.quiet import quiet
from edgepack.samples import Array, Sample
from edgepack.target import Target

if TYPE_CHECKING:
    import onnx

INTEGER_TOLERANCE = 0.02
"""Most relative error of a layer that answers integers: a few codes of 255, as rounding may leave."""
FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parting:
    """A layer that answers otherwise on the device."""

    layer: str
    operator: str
    tensor: str
    relative: float
    """Largest difference over the largest value."""
    before: float
    """The same, of the layers before it: how well what it was given agrees."""


def parted(path: Path, sample: Sample, target: Target, scratch: Path, time_limit: float) -> Parting | None:
    """The first layer of an `.onnx` that parts for one sample; None where all agree, layer by layer.

    Raises RuntimeError where the file with its layers' outputs cannot be run on the device.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tapped, samples = scratch / "tapped.onnx", scratch / "samples.npz"
    nodes = _tap(path, tapped)
    host.write_samples((sample,), samples)
    here = formats.load("onnx").load(tapped)(sample)
    there = device.run(Job("onnx", str(tapped), str(samples)), target, scratch / "run", time_limit, samples=1)
    if isinstance(there, Death):
        raise RuntimeError(there.reason)
    return _first(nodes, here, there.outputs[0])


def _first(nodes: list[onnx.NodeProto], here: Sample, there: Sample) -> Parting | None:
    before = 0.0
    places = [(node, name) for node in nodes for name in node.output if name]
    for (node, name), a, b in zip(places, there[-len(places) :], here[-len(places) :], strict=True):
        found = verdict.relative(a, b)
        if found > _tolerance(b):
            return Parting(node.name or name, node.op_type, name, found, before)
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

        from edgepack.formats.onnx import options

        chosen = options()
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
