"""The source of a build: a model, loaded, run on its samples, and captured once for all formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract import Contract, texts
from edgepack.contract.outputs import judge
from edgepack.contract.outputs.judge import Judged
from edgepack.contract.samples import Samples
from edgepack.model import (
    binding,
    capture,
    capture_errors,
    contract_inference,
    free_sizes,
    graph_argmax,
    graph_preprocessing,
    inference,
    repeatability,
    sample_sets,
    state,
    validation,
)
from edgepack.model import load as model_files
from edgepack.model.cache import DerivedCache
from edgepack.model.flat_model import FlatModel
from edgepack.model.float32 import with_float32_weights
from edgepack.model.request import ModelRequest
from edgepack.model.uncompiled import uncompiled

_ARGMAX = "program with arg-max"


@dataclass(frozen=True)
class Source:
    """A captured model with its contract, samples and reference outputs, as every format takes it."""

    name: str
    exported: ExportedProgram
    """The graph with every dimension fixed and batch norm folded; its outputs are a flat tuple."""
    free: ExportedProgram
    """The graph with the contract's named dimensions dynamic; `exported` itself if there are none."""
    contract: Contract
    calib: Samples | None
    evaluation: Samples
    reference: tuple[Sample, ...]
    """Outputs of the float model for each evaluation sample."""
    notes: tuple[str, ...] = field(default=())
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Calibrated (low, high) of activation tensors, by the name of their node in `exported`; empty before
    calibration."""
    module: torch.nn.Module | None = field(default=None, compare=False, repr=False)
    """The float model itself, for pruning."""
    inside: str = "none"
    """The activation that the graph itself applies to its first output."""
    argmax: bool = False
    """Whether files return the number of the best class in place of the first output; see `for_export`."""
    tokenizer: Path | None = None
    """The file of the tokenizer, which a bundle contains; None if the app tokenizes, or there is no text."""
    cache: DerivedCache = field(default_factory=DerivedCache, compare=False, repr=False)

    @property
    def judged(self) -> tuple[Judged, ...]:
        """How each output is judged."""
        return judge.judged(
            self.contract.outputs,
            self.reference,
            self.evaluation.truth,
            is_noise=self.evaluation.is_noise,
            state={state.output for state in self.contract.state},
        )

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        """The first evaluation sample, as tensors."""
        return inference.tensors(self.evaluation.inputs[0])

    @property
    def fixed_sizes(self) -> str:
        """The sizes of free dimensions in `exported`, as in `H is 32, W is 32`; empty if none is free."""
        sizes = free_sizes.of_sample(self.contract, self.evaluation.inputs[0])
        return ", ".join(f"{name} is {size}" for name, size in sizes.items())


def load(request: ModelRequest) -> Source:
    """Load the model, run it on its samples, and capture it.

    Raises SourceError if the model, its weights, its contract or its samples cannot be used.
    """
    loaded = model_files.load(request)
    validation.check_float_module(loaded.module)
    module, types = _prepared(loaded.module)
    inputs = contract_inference.inputs_of(request, loaded)
    names = [declared.name for declared in inputs]
    bound, binding_notes = binding.bound(loaded.signature or binding.signature_of(module), names)
    flat = FlatModel(module, bound)
    first_state = state.snapshot(flat)
    contract = contract_inference.contract_of(request, loaded, flat, inputs)
    if request.bake:
        contract = graph_argmax.without_activation(contract) if request.argmax else contract
        flat.preprocessing, contract = graph_preprocessing.moved_into_graph(contract)
    sets = sample_sets.load(request, contract, flat)
    contract, tokenizer = texts.detached(contract)
    evaluation = sets.evaluation
    state.restore(flat, first_state)
    reference = tuple(inference.run(flat, sample) for sample in evaluation.inputs)
    validation.check_reference(reference)
    kept = repeatability.check(flat, evaluation, reference, first_state)
    contract, inferred = contract_inference.with_classes(contract, evaluation, reference)
    validation.check_classes(contract, evaluation, reference[0])
    validation.check_kinds(contract, reference[0])
    if request.argmax:
        evaluation, reference = graph_argmax.clearest_first(evaluation, reference)
    exported, free = _programs(flat, contract, evaluation)
    validation.check_float_program(exported)
    capture_errors.check_sizes(exported)
    captured = (
        *repeatability.batch_statistics(flat),
        *capture_errors.value_dependent(exported),
        *capture_errors.complex_numbers(exported),
        *free_sizes.notes(free, contract, evaluation.inputs[0]),
    )
    loaded_source = Source(
        name=loaded.name,
        exported=exported,
        free=free,
        contract=contract,
        calib=sets.calib,
        evaluation=evaluation,
        reference=reference,
        notes=(*loaded.notes, *types, *flat.notes, *kept, *captured, *binding_notes, *sets.notes, *inferred),
        module=flat,
        inside="none" if flat.preprocessing is None else flat.preprocessing.activation,
        argmax=request.argmax,
        tokenizer=tokenizer,
    )
    notes = (each.note for each in loaded_source.judged if each.note)
    return replace(loaded_source, notes=(*loaded_source.notes, *notes))


def _prepared(module: Callable[..., Any]) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The model without what only training needs, its weights in float32, and a note if they were not."""
    if not isinstance(module, torch.nn.Module):
        return module, ()
    module = module if isinstance(module, torch.jit.ScriptModule) else uncompiled(module)
    types = ", ".join(with_float32_weights(module))
    return module, (f"the model's weights are {types}: converted to float32",) if types else ()


def _programs(
    module: torch.nn.Module, contract: Contract, evaluation: Samples
) -> tuple[ExportedProgram, ExportedProgram]:
    """The captured programs with fixed and with free dimensions; the same one if none is free."""
    first = evaluation.inputs[0]
    exported = capture.of_sample(module, first)
    return exported, capture.of_free_sizes(module, contract, first) if contract.free_dims else exported


def reweighted(source: Source, module: torch.nn.Module) -> Source:
    """`source` with the weights of `module`, a copy of its graph's module."""
    weights = module.state_dict()
    exported = capture.reweighted(source.exported, weights)
    same = source.free is source.exported
    return replace(
        source, exported=exported, free=exported if same else capture.reweighted(source.free, weights)
    )


def regraphed(source: Source, module: torch.nn.Module) -> Source:
    """`source` with another graph that computes the same: `module`, a changed copy of its graph's module.

    The contract must have no free dimensions. Ranges by names of nodes no longer apply.
    """
    assert not source.contract.free_dims
    exported = capture.captured(module, source.example)
    return replace(source, exported=exported, free=exported, ranges={}, cache=DerivedCache())


def recaptured(source: Source, module: torch.nn.Module) -> Source:
    """`source` with another float model of the same inputs and outputs; its reference stays.

    Raises SourceError if torch.export cannot capture the model.
    """
    contract = source.contract
    exported, free = _programs(module, contract, source.evaluation)
    return replace(source, exported=exported, free=free, module=module, ranges={}, cache=DerivedCache())


def for_export(source: Source) -> Source:
    """`source` as formats write it: with arg-max at the end if files return the number of the best class.

    Corrections, pruning and distillation use scores, so arg-max is added last, when a file is written.
    """
    if not source.argmax:
        return source
    exported = source.cache.get(_ARGMAX, ExportedProgram, source.exported)
    if exported is None:
        exported = graph_argmax.with_argmax(source.exported)
        source.cache.put(_ARGMAX, exported, source.exported)
    return replace(
        source,
        exported=exported,
        free=exported,
        contract=graph_argmax.with_class_index(source.contract),
        reference=tuple((metrics.class_index(row[0]), *row[1:]) for row in source.reference),
        argmax=False,
    )
