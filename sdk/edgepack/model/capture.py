"""Capture a model as an exported program, in the form that the toolchains quantize."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature
from torch.fx import GraphModule

from edgepack.arrays import Sample
from edgepack.contract import Contract
from edgepack.errors import SourceError
from edgepack.graph import layers as graph
from edgepack.model import capture_errors, free_sizes, torchscript
from edgepack.model.flat_model import FlatModel
from edgepack.model.normalize import normalized
from edgepack.silence import quiet


def of_sample(model: torch.nn.Module, sample: Sample) -> ExportedProgram:
    """`model` as an exported program for inputs of the sizes of `sample`.

    Raises SourceError if torch.export cannot capture the model.
    """
    return _captured(model, tuple(torch.from_numpy(array.copy()) for array in sample), None)


def of_free_sizes(model: torch.nn.Module, contract: Contract, sample: Sample) -> ExportedProgram:
    """`model` as an exported program whose named dimensions are dynamic, captured at the sizes of `sample`.

    Raises SourceError if torch.export cannot capture the model, or fixes a dimension.
    """
    program = _captured(model, *free_sizes.free_example(contract, sample))
    free_sizes.check_free(program, contract)
    return program


def _captured(
    model: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: torch.export.ShapesCollection | None
) -> ExportedProgram:
    module = _without_script(model, example)
    try:
        with torchscript.parts_as_graphs(module, example):
            return captured(module, example, shapes)
    except SourceError:
        raise
    except Exception as cause:  # torch.export documents no common base of its errors
        raise capture_errors.refusal(cause) from cause


def captured(
    model: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    dynamic_shapes: torch.export.ShapesCollection | None = None,
) -> ExportedProgram:
    """`model` as an exported program, normalized and with recurrent cells decomposed.

    Raises what torch.export raises.
    """

    shapes: Any = dynamic_shapes  # torch's annotation lacks ShapesCollection

    def export(module: torch.nn.Module) -> ExportedProgram:
        return torch.export.export(module, example, dynamic_shapes=shapes, strict=False)

    with quiet(), torch.no_grad():
        return normalized(_without_cells(export(model)), export)


def reweighted(program: ExportedProgram, weights: Mapping[str, torch.Tensor]) -> ExportedProgram:
    """`program` with copies of `weights` as its parameters and buffers, which have the same names."""
    state = {
        name: torch.nn.Parameter(weights[name].detach().clone(), requires_grad=False)
        if isinstance(value, torch.nn.Parameter)
        else weights[name].detach().clone()
        for name, value in program.state_dict.items()
    }
    return rebuilt(program, state=state)


def rebuilt(
    program: ExportedProgram,
    *,
    module: GraphModule | None = None,
    signature: ExportGraphSignature | None = None,
    state: dict[str, Any] | None = None,
) -> ExportedProgram:
    """`program` with another graph, signature or state; it keeps its own where an argument is None."""
    module = module or program.graph_module
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=signature or program.graph_signature,
        state_dict=program.state_dict if state is None else state,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
        verifiers=program.verifiers,
    )


def copied(program: ExportedProgram) -> ExportedProgram:
    """`program` for an exporter that may change it: its own graph and tables, the same tensors.

    coremltools 9.0 removes the buffers that it has read from the tables of a program.
    """
    copy_of = rebuilt(
        program,
        module=copy.deepcopy(program.graph_module),
        signature=copy.deepcopy(program.graph_signature),
        state=dict(program.state_dict),
    )
    copy_of._constants = dict(program.constants)
    return copy_of


_SAFE = {
    graph.ATEN.unsafe_split.Tensor: graph.ATEN.split.Tensor,
    graph.ATEN.unsafe_chunk.default: graph.ATEN.chunk.default,
}
"""Equal operators with separate names for autograd; Core ML's converter knows only one of each."""


def _without_cells(program: ExportedProgram) -> ExportedProgram:
    """`program` with recurrent cells decomposed into linear layers, which toolchains quantize."""
    if not any(node.target in graph.CELLS for node in program.graph.nodes):
        return program
    known = torch.export.default_decompositions()
    decomposed: ExportedProgram = program.run_decompositions({cell: known[cell] for cell in graph.CELLS})
    for node in decomposed.graph.nodes:
        node.target = _SAFE.get(node.target, node.target)
    return decomposed


def _without_script(model: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """`model`; a TorchScript model is replaced by an equal graph."""
    if isinstance(model, FlatModel) and isinstance(model.model, torch.jit.ScriptModule):
        steps = model.preprocessing
        inputs = example if steps is None else (steps.before(example[0]),)
        arguments, keywords = model.binding.arguments(inputs)
        converted = torchscript.to_graph(model.model, arguments, keywords)
        return FlatModel(converted, model.binding.by_position, steps)
    return model
