"""Checks of a loaded model, its samples and its outputs. Each raises SourceError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.contract.outputs import judge
from edgepack.contract.samples import Samples
from edgepack.errors import SourceError


def check_float_module(module: Callable[..., Any]) -> None:
    """The modules, or the operators of a TorchScript model, are not quantized."""
    if isinstance(module, torch.jit.ScriptModule):
        if "quantized::" in str(module.inlined_graph):
            raise _is_quantized("quantized:: operators")
    elif isinstance(module, torch.nn.Module):
        for part in module.modules():
            name = f"{type(part).__module__}.{type(part).__name__}"
            if ".quantized." in name:
                raise _is_quantized(name)


def check_float_program(program: ExportedProgram) -> None:
    """The operators of the graph are not quantized."""
    for node in program.graph.nodes:
        namespace = getattr(node.target, "namespace", "") if node.op == "call_function" else ""
        if namespace in ("quantized", "quantized_decomposed", "torchao"):
            raise _is_quantized(str(node.target))


def _is_quantized(content: str) -> SourceError:
    return SourceError(
        f"the model is already quantized: it contains {content}",
        hint="give the float model, which edgepack quantizes for each format; only the toolchain that "
        "quantized a model can write it",
    )


def check_calibration(calib: Samples) -> None:
    """No calibration sample contains NaN: ranges could not be measured on it."""
    for number, row in enumerate(calib.inputs):
        if any(array.dtype.kind == "f" and np.isnan(array).any() for array in row):
            raise SourceError(f"sample {number} of {calib.origin} contains NaN", hint="remove the sample")


def check_reference(reference: tuple[Sample, ...]) -> None:
    """The float model's outputs are finite."""
    for number, outputs in enumerate(reference):
        for n, output in enumerate(outputs):
            if not np.isfinite(output.astype(np.float64)).all():
                raise SourceError(
                    f"the float model itself returns NaN or infinity (output {n}, sample {number})",
                    hint="check the weights, and that samples are prepared as in training",
                )


def check_kinds(contract: Contract, outputs: Sample) -> None:
    """The outputs of one sample have the shapes of their kinds."""
    for places in judge.groups(contract.outputs):
        declared = contract.outputs[places[0]]
        if reason := declared.meaning.unfit(tuple(outputs[n] for n in places)):
            raise SourceError(
                f"output '{declared.name}' is no {declared.kind}: {reason}",
                hint='declare another kind under [output] in edgepack.toml; "tensor" fits all',
            )


def check_classes(contract: Contract, evaluation: Samples, outputs: Sample) -> None:
    """A classifier's output is one row of scores, with as many scores as labels."""
    if contract.classes is None:
        return
    if outputs[0].ndim != 2 or outputs[0].shape[0] != 1:
        raise SourceError(
            f"a classifier's output is [1, classes]; this one is {list(outputs[0].shape)}",
            hint='set kind = "tensor" under [output] in edgepack.toml',
        )
    labels = len(contract.classes.labels)
    scores = outputs[0].shape[1]
    if labels and labels != scores:
        raise SourceError(f"there are {labels} labels, but the model returns {scores} scores")
    strange = [label for label in evaluation.labels or () if label >= scores]
    if strange:
        origin = evaluation.origin
        raise SourceError(f"{origin}: class {strange[0]} does not exist, the model returns {scores} scores")
