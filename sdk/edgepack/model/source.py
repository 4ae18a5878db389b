"""The source: a PyTorch model, captured once, with the inputs it accepts and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from edgepack import toml
from edgepack.arrays import Sample
from edgepack.contract import Contract, Input, Output, State, calibration_warnings, samples
from edgepack.contract.samples import Samples
from edgepack.errors import SourceError
from edgepack.graph import layers as graph
from edgepack.model import baking, torchscript
from edgepack.model import load as form
from edgepack.model.baking import Bake
from edgepack.model.load import Loaded, first_line
from edgepack.model.request import ModelRequest
from edgepack.silence import quiet
from edgepack.toml import Strict

_MESSAGE = 400
"""Characters of a model's own message that are shown."""


@dataclass(frozen=True)
class Source:
    """A model as every format takes it."""

    name: str
    exported: ExportedProgram
    """The model as a graph, every dimension fixed, batch norm folded; its outputs are a flat tuple."""
    free: ExportedProgram
    """The same with the contract's free dimensions free; `exported` itself where it has none."""
    contract: Contract
    calib: Samples | None
    evaluation: Samples
    reference: tuple[Sample, ...]
    """What the float model answers to each evaluation sample."""
    notes: tuple[str, ...] = field(default=())
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Calibrated (low, high) of activation tensors, by their node's name in `exported`; empty before
    calibration."""
    module: torch.nn.Module | None = field(default=None, compare=False, repr=False)
    """The float model itself, for pruning."""
    inside: str = "none"
    """The activation that the graph itself applies to its first output."""
    argmax: bool = False
    """Whether files are to give the best class's number in place of the first output: see `bake.ended`."""
    shared: dict[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What formats made of this very source and can use again, by a key of theirs."""

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        """The first evaluation sample, as tensors."""
        return tensors(self.evaluation.inputs[0])


class _Flat(torch.nn.Module):
    """A model whose outputs are a flat tuple of tensors.

    It also gives every parameter a name that begins with a letter, which executorch's passes need.
    """

    def __init__(
        self, model: Callable[..., Any], keywords: tuple[str, ...], bake: Bake | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.keywords = keywords
        self.bake = bake
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.bake is not None:
            inputs = (self.bake.before(inputs[0]),)
        positional = len(inputs) - len(self.keywords)
        named = dict(zip(self.keywords, inputs[positional:]))
        outputs = tuple(tree_leaves(self.model(*inputs[:positional], **named)))
        return outputs if self.bake is None else self.bake.after(outputs)


class _Inputs(Strict):
    inputs: tuple[Input, ...]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch in one thread: the same sums in the same order each time, and no wait for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors(sample: Sample) -> tuple[torch.Tensor, ...]:
    """A sample as tensors that share its memory."""
    return tuple(torch.from_numpy(array) for array in sample)


def load(request: ModelRequest) -> Source:
    """Load the model, run it on its samples, and capture it.

    Raises SourceError at whatever in the model, its weights or its samples stands in the way.
    """
    loaded = form.load(request)
    _check_float(loaded.module)
    inputs = _inputs(request, loaded)
    flat = _Flat(loaded.module, loaded.keywords)
    contract = _contract(request, loaded, inputs, _probe(flat, inputs))
    if request.bake:
        contract = baking.without_activation(contract) if request.argmax else contract
        flat.bake, contract = baking.baked(contract)
    calib, evaluation, notes = _samples(request, contract)
    reference = tuple(run(flat, sample) for sample in evaluation.inputs)
    _check_reference(flat, evaluation, reference)
    contract, inferred = _infer_classes(contract, evaluation, reference)
    _check_classes(contract, evaluation, reference[0])
    if request.argmax:
        evaluation, reference = baking.clearest_first(evaluation, reference)
    exported = _capture(flat, contract, free=False)
    _check_float_graph(exported)
    return Source(
        name=loaded.name,
        exported=exported,
        free=_capture(flat, contract, free=True) if contract.free_dims else exported,
        contract=contract,
        calib=calib,
        evaluation=evaluation,
        reference=reference,
        notes=(*loaded.notes, *notes, *inferred),
        module=flat,
        inside="none" if flat.bake is None else flat.bake.activation,
        argmax=request.argmax,
    )


def _inputs(request: ModelRequest, loaded: Loaded) -> tuple[Input, ...]:
    tables = request.inputs or loaded.tables
    partial = len(tables) == len(loaded.tables) == 1 and set(tables[0]) <= {"kind", "name", "size"}
    if request.inputs and partial and tables[0]["kind"] == loaded.tables[0]["kind"]:
        size = max(tables[0].get("size", [0]))
        below = dict(loaded.tables[0])
        if below.get("resize_to", size) < size:
            below["resize_to"] = round(size * below["resize_to"] / max(below["size"]))
        tables = ({**below, **tables[0]},)
    where = request.contract_from
    return toml.validate({"inputs": list(tables)}, _Inputs, where, SourceError).inputs


def _probe(flat: _Flat, inputs: tuple[Input, ...]) -> int:
    """How many tensors the model answers with."""
    shell = _validated(inputs, [Output(name="output_probed")])
    try:
        sample = samples.synthetic(shell, count=1).inputs[0]
    except (MemoryError, ValueError) as cause:
        shapes = ", ".join("x".join(str(dim) for dim in each.shape) for each in inputs)
        raise SourceError(f"an input of {shapes} does not fit into this host's memory") from cause
    return len(run(flat, sample))


def _validated(inputs: tuple[Input, ...], outputs: list[Output], state: tuple[State, ...] = ()) -> Contract:
    tables = {"inputs": list(inputs), "outputs": outputs, "state": list(state)}
    return toml.validate(tables, Contract, "the contract", SourceError)


def _contract(request: ModelRequest, loaded: Loaded, inputs: tuple[Input, ...], count: int) -> Contract:
    outputs = list(request.outputs or ((loaded.output,) if loaded.output else ()))
    if len(outputs) > count:
        raise SourceError(f"{len(outputs)} outputs are declared, the model gives {count}")
    if any(each.kind == "class" for each in outputs):
        raise SourceError(
            "kind = 'class' is what --bake-argmax leaves of a classification, and is not declared",
            hint="declare 'classification' of a model that gives scores, 'tensor' of one that gives a number",
        )
    if not outputs:
        outputs = [Output()]
    if request.labels:
        activation = outputs[0].activation
        table = {**outputs[0].model_dump(), "kind": "classification", "labels": request.labels}
        outputs[0] = Output.model_validate({**table, "activation": activation})
    outputs += [Output(name=f"output_{n}") for n in range(len(outputs), count)]
    return _validated(inputs, outputs, request.state)


def _samples(request: ModelRequest, contract: Contract) -> tuple[Samples | None, Samples, list[str]]:
    """Calibration samples, evaluation samples, and what the user should know of them."""
    notes: list[str] = []
    labelled = request.recovers or not request.eval
    calib = samples.load(request.calib, contract, with_labels=labelled) if request.calib else None
    if request.eval:
        evaluation = samples.load(request.eval, contract, with_labels=True)
    elif calib and len(calib) > 1:
        calib, evaluation = samples.split(calib)
        notes.append(f"one set is given: calibrated on {calib.origin}, judged on {evaluation.origin}")
    elif calib:
        evaluation = calib
        notes.append("one sample is given: calibrated and judged on it, which proves little")
    else:
        evaluation = samples.synthetic(contract)
        notes.append("no samples are given: judged on noise, which proves little; give --eval")
    if calib:
        _check_numbers(calib)
        notes += calibration_warnings.warnings(calib, contract)
    for each in (calib, evaluation):
        notes += [f"left out: {broken}" for broken in (each.left_out if each else ())]
    return calib, evaluation, list(dict.fromkeys(notes))


def _check_numbers(calib: Samples) -> None:
    """Raise SourceError where a calibration sample holds NaN: nothing can be measured on it."""
    for number, row in enumerate(calib.inputs):
        if any(each.dtype.kind == "f" and np.isnan(each).any() for each in row):
            raise SourceError(f"sample {number} of {calib.origin} holds NaN", hint="leave it out")


def run(flat: Callable[..., Any], sample: Sample) -> Sample:
    """The float model's outputs for one sample. Raises SourceError with the model's own message."""
    try:
        with torch.no_grad():
            outputs = flat(*tensors(sample))
    except (Exception, SystemExit) as cause:  # whatever the user's code raises
        fed = ", ".join(f"{each.dtype} {list(each.shape)}" for each in sample)
        raise SourceError(
            f"the model raises on {fed}: {type(cause).__name__}: {_shortened(str(cause))}",
            hint="check the contract's shape, layout and dtype (--input, or [input] in edgepack.toml)",
        ) from cause
    if not outputs or not all(isinstance(each, torch.Tensor) for each in outputs):
        raise SourceError("the model must answer with tensors (a tensor, a tuple, a list or a dict)")
    strange = [each.dtype for each in outputs if each.is_complex() or each.dtype is torch.bfloat16]
    if strange:
        raise SourceError(f"the model answers in {strange[0]}, which is not compared: cast it in forward")
    try:
        return tuple(each.detach().cpu().numpy() for each in outputs)
    except (TypeError, RuntimeError) as cause:
        raise SourceError(f"the model's answer is no plain tensor: {cause}") from cause


def _check_reference(flat: _Flat, evaluation: Samples, reference: tuple[Sample, ...]) -> None:
    for number, outputs in enumerate(reference):
        bad = [n for n, each in enumerate(outputs) if not np.isfinite(each.astype(np.float64)).all()]
        if bad:
            raise SourceError(
                f"the float model itself answers NaN or infinity (output {bad[0]}, sample {number})",
                hint="check the weights, and that the samples are as the model was trained",
            )
    again = run(flat, evaluation.inputs[0])
    if any(not np.array_equal(a, b) for a, b in zip(again, reference[0])):
        raise SourceError(
            "the model answers differently to one and the same sample",
            hint="put it into eval mode before it is saved: dropout or sampling is still on",
        )


def _infer_classes(
    contract: Contract, evaluation: Samples, reference: tuple[Sample, ...]
) -> tuple[Contract, list[str]]:
    """Take the output for scores of classes where the samples' labels say so."""
    first = contract.outputs[0]
    scores = reference[0][0]
    flat = scores.ndim == 2 and scores.shape[0] == 1 and scores.shape[1] > 1
    if first.kind == "tensor" and evaluation.labels is not None and flat:
        output = replace_output(contract, Output(kind="classification", name=first.name))
        return output, ["the samples have labels: the output is taken for scores of classes"]
    return contract, []


def replace_output(contract: Contract, output: Output) -> Contract:
    """`contract` with another first output."""
    return contract.model_copy(update={"outputs": (output, *contract.outputs[1:])})


def _check_classes(contract: Contract, evaluation: Samples, outputs: Sample) -> None:
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
        raise SourceError(f"there are {labels} labels, but the model gives {scores} scores")
    strange = [label for label in evaluation.labels or () if label >= scores]
    if strange:
        origin = evaluation.origin
        raise SourceError(f"{origin}: class {strange[0]} does not exist, the model gives {scores} scores")


def _check_float(module: Callable[..., Any]) -> None:
    """Raise SourceError where a module is quantized already."""
    if isinstance(module, torch.jit.ScriptModule):
        held = "quantized:: operators" if "quantized::" in str(module.inlined_graph) else ""
    elif isinstance(module, torch.nn.Module):
        names = (f"{type(each).__module__}.{type(each).__name__}" for each in module.modules())
        held = next((name for name in names if ".quantized." in name), "")
    else:
        held = ""
    if held:
        _refuse_quantized(held)


def _check_float_graph(program: ExportedProgram) -> None:
    """Raise SourceError where a program is quantized already."""
    for node in program.graph.nodes:
        space = getattr(node.target, "namespace", "") if node.op == "call_function" else ""
        if space in ("quantized", "quantized_decomposed", "torchao"):
            _refuse_quantized(str(node.target))


def _refuse_quantized(held: str) -> None:
    raise SourceError(
        f"the model is quantized already: it holds {held}",
        hint="give the float model, which edgepack quantizes for each format; a quantized one "
        "can only be written by the toolchain that made it",
    )


def _capture(flat: torch.nn.Module, contract: Contract, *, free: bool) -> ExportedProgram:
    """The model as an exported program. Raises SourceError where torch.export cannot capture it."""
    example, shapes = [], []
    dims = {name: torch.export.Dim(name) for name in contract.free_dims} if free else {}
    for array, each in zip(samples.synthetic(contract, 1).inputs[0], contract.inputs):
        tensor = torch.from_numpy(array)
        axes = {n: dims[dim] for n, dim in enumerate(each.shape) if isinstance(dim, str) and free}
        for axis in axes:  # torch.export takes a size of 1 for a constant
            tensor = torch.cat([tensor, tensor], dim=axis)
        example.append(tensor)
        shapes.append(axes or None)
    model = _as_module(flat, tuple(example))
    try:
        return captured(model, tuple(example), (tuple(shapes),) if free else None)
    except Exception as cause:  # torch.export documents no common base of its errors
        wish = f" with {', '.join(dims)} free" if free else ""
        raise SourceError(
            f"torch.export cannot capture the model{wish}: {first_line(cause)}",
            hint="its documentation tells how to rewrite control flow that depends on values",
        ) from cause


def reweighted(source: Source, module: torch.nn.Module) -> Source:
    """`source` with the weights of `module`, a copy of its graph's module."""
    weights = module.state_dict()
    exported = _with_weights(source.exported, weights)
    same = source.free is source.exported
    return replace(source, exported=exported, free=exported if same else _with_weights(source.free, weights))


def _with_weights(program: ExportedProgram, weights: Mapping[str, torch.Tensor]) -> ExportedProgram:
    state = {
        name: torch.nn.Parameter(weights[name].detach().clone(), requires_grad=False)
        if isinstance(value, torch.nn.Parameter)
        else weights[name].detach().clone()
        for name, value in program.state_dict.items()
    }
    return ExportedProgram(
        root=program.graph_module,
        graph=program.graph,
        graph_signature=program.graph_signature,
        state_dict=state,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
        verifiers=program.verifiers,
    )


def recaptured(source: Source, module: torch.nn.Module) -> Source:
    """`source` with another float model of the same inputs and outputs; its reference stays.

    Raises SourceError where torch.export cannot capture the model.
    """
    exported = _capture(module, source.contract, free=False)
    free = _capture(module, source.contract, free=True) if source.contract.free_dims else exported
    return replace(source, exported=exported, free=free, module=module, ranges={}, shared={})


def captured(
    model: torch.nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any = None
) -> ExportedProgram:
    """`model` as an exported program: batch norm folded into the layers before it, cells taken apart.

    Raises what torch.export raises.
    """
    with quiet():
        program = torch.export.export(model, example, dynamic_shapes=dynamic_shapes, strict=False)
        program = _without_cells(program)
        module = program.module()
        changed = graph.fold_batch_norm(module) + graph.without_in_place(module)
        if not changed:
            return program
        return torch.export.export(module, example, dynamic_shapes=dynamic_shapes, strict=False)


_SAFE = {
    graph.ATEN.unsafe_split.Tensor: graph.ATEN.split.Tensor,
    graph.ATEN.unsafe_chunk.default: graph.ATEN.chunk.default,
}
"""Operators for which autograd alone has names of its own; Core ML's converter knows but one of each."""


def _without_cells(program: ExportedProgram) -> ExportedProgram:
    """The program with its recurrent cells as linear layers, which toolchains quantize, and activations."""
    if not any(node.target in graph.CELLS for node in program.graph.nodes):
        return program
    known = torch.export.default_decompositions()
    apart: ExportedProgram = program.run_decompositions({cell: known[cell] for cell in graph.CELLS})
    for node in apart.graph.nodes:
        node.target = _SAFE.get(node.target, node.target)
    return apart


def _as_module(flat: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """`flat` itself, or around an equal graph where the model is TorchScript."""
    if isinstance(flat, _Flat) and isinstance(flat.model, torch.jit.ScriptModule):
        given = example if flat.bake is None else (flat.bake.before(example[0]),)
        return _Flat(torchscript.to_graph(flat.model, given), (), flat.bake)
    return flat


def _shortened(text: str) -> str:
    """The beginning of a message: some hold whole tensors."""
    return text if len(text) <= _MESSAGE else text[:_MESSAGE].rstrip() + " …"
