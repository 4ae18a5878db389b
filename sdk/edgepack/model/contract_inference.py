"""The contract of a model: from flags and settings, completed by what the model itself says."""

from __future__ import annotations

from edgepack import toml
from edgepack.arrays import Sample
from edgepack.contract import Contract, Input, Output, State
from edgepack.contract.samples import Samples
from edgepack.errors import SourceError
from edgepack.model import free_sizes
from edgepack.model.flat_model import FlatModel
from edgepack.model.loaded_model import LoadedModel
from edgepack.model.request import ModelRequest
from edgepack.toml import Strict


class _Inputs(Strict):
    inputs: tuple[Input, ...]


def contract_of(
    request: ModelRequest, loaded: LoadedModel, flat: FlatModel, inputs: tuple[Input, ...]
) -> Contract:
    """The contract of a model, which is run to count its outputs.

    Raises SourceError if declarations contradict each other or the model.
    """
    count = _output_count(flat, inputs)
    outputs = _named(_outputs(request, loaded, count), {declared.name for declared in inputs})
    return _validated(inputs, outputs, request.state)


def inputs_of(request: ModelRequest, loaded: LoadedModel) -> tuple[Input, ...]:
    """The request's inputs, else the model's own; a request of a size only changes the model's own input."""
    tables = request.inputs or loaded.inputs
    is_size_only = len(tables) == len(loaded.inputs) == 1 and set(tables[0]) <= {"kind", "name", "size"}
    if request.inputs and is_size_only and tables[0]["kind"] == loaded.inputs[0]["kind"]:
        size = max(tables[0].get("size", [0]))
        own = dict(loaded.inputs[0])
        if own.get("resize_to", size) < size:
            own["resize_to"] = round(size * own["resize_to"] / max(own["size"]))
        tables = ({**own, **tables[0]},)
    if not tables:
        raise SourceError(
            "the inputs of the model are not declared",
            hint="add --input image:224 or --input tensor:1x3x224x224, or an edgepack.toml beside it",
        )
    tables = tuple(
        {"layout": loaded.layout, **table} if table["kind"] == "image" else table for table in tables
    )
    inputs = toml.validate({"inputs": list(tables)}, _Inputs, request.contract_from, SourceError).inputs
    _validated(inputs, [Output(name="output_probed")])
    return inputs


def _output_count(flat: FlatModel, inputs: tuple[Input, ...]) -> int:
    """How many tensors the model returns."""
    contract = _validated(inputs, [Output(name="output_probed")])
    try:
        _, outputs = free_sizes.probed(flat, contract)
    except (MemoryError, ValueError) as cause:
        shapes = ", ".join("x".join(str(dim) for dim in declared.shape) for declared in inputs)
        raise SourceError(f"an input of {shapes} does not fit into this host's memory") from cause
    return len(outputs)


def _outputs(request: ModelRequest, loaded: LoadedModel, count: int) -> list[Output]:
    """The declared outputs, completed to `count`."""
    outputs = list(request.outputs or loaded.outputs)
    if len(outputs) > count:
        raise SourceError(f"{len(outputs)} outputs are declared, the model returns {count}")
    if any(output.kind == "class" for output in outputs):
        raise SourceError(
            "output kind 'class' is set by --bake-argmax and cannot be declared",
            hint="declare 'classification' for a model that returns scores, 'tensor' for one that returns a "
            "class number",
        )
    if not outputs:
        outputs = [Output()]
    if request.labels:
        given = outputs[0].model_dump(exclude_unset=True)
        table = {**given, "kind": "classification", "labels": request.labels}
        outputs[0] = Output.model_validate(table)
    return [*outputs, *(Output() for _ in range(len(outputs), count))]


def _named(outputs: list[Output], taken: set[str]) -> list[Output]:
    """Outputs whose name was not given have one by their place, which no input or other output has."""
    given = {output.name for output in outputs if "name" in output.model_fields_set}
    found = []
    for number, output in enumerate(outputs):
        if "name" not in output.model_fields_set:
            name = f"output_{number}" if number else "output"
            while name in taken | given:
                name = f"model_{name}"
            output = output.model_copy(update={"name": name})
        found.append(output)
    return found


def _validated(inputs: tuple[Input, ...], outputs: list[Output], state: tuple[State, ...] = ()) -> Contract:
    for name in (value.name for value in (*inputs, *outputs)):
        if not name.strip() or not name.isprintable():
            raise SourceError(f"an input or output cannot have the name {name!r}: give it letters")
    tables = {"inputs": list(inputs), "outputs": outputs, "state": list(state)}
    return toml.validate(tables, Contract, "the contract", SourceError)


def with_classes(
    contract: Contract, evaluation: Samples, reference: tuple[Sample, ...]
) -> tuple[Contract, list[str]]:
    """`contract` with the first output as scores of classes if the samples have labels, and notes."""
    first = contract.outputs[0]
    scores = reference[0][0]
    is_row = scores.ndim == 2 and scores.shape[0] == 1 and scores.shape[1] > 1
    if first.kind == "tensor" and evaluation.labels is not None and is_row:
        note = "the samples have labels: the output is treated as scores of classes"
        return contract.with_output(Output(kind="classification", name=first.name)), [note]
    return contract, []
