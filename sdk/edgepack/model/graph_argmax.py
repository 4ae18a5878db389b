"""Arg-max in the graph (`--bake-argmax`): the model returns the number of the best class, not scores."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument

from edgepack.arrays import Sample
from edgepack.contract import Contract, Output
from edgepack.contract.samples import Samples
from edgepack.errors import SourceError
from edgepack.model.capture import rebuilt


def without_activation(contract: Contract) -> Contract:
    """`contract` without an activation of its scores, which does not change the arg-max.

    Raises SourceError if there are no scores of classes, or if they have a threshold.
    """
    scores = contract.classes
    if scores is None:
        raise SourceError(
            "--bake-argmax needs a model whose first output has one score per class",
            hint='give --labels, or kind = "classification" under [output] in edgepack.toml',
        )
    if scores.threshold is not None:
        raise SourceError(
            f"the output has a threshold of {scores.threshold:g}, but --bake-argmax leaves no score",
            hint="remove the threshold or the flag",
        )
    return contract.with_output(Output.model_validate({**scores.model_dump(), "activation": "none"}))


def with_class_index(contract: Contract) -> Contract:
    """`contract` with the number of the best class in place of its scores."""
    first = Output.model_validate({**contract.outputs[0].model_dump(), "kind": "class"})
    return contract.with_output(first)


def clearest_first(evaluation: Samples, reference: tuple[Sample, ...]) -> tuple[Samples, tuple[Sample, ...]]:
    """Samples and reference outputs, sorted by the lead of the best score, largest first.

    The first samples become golden vectors and run on emulated devices. Class numbers do not show a near tie,
    which another processor's rounding may decide differently, so samples with a clear best class go first.
    """
    leads = [float(np.diff(np.sort(row[0].ravel())[-2:]).sum()) for row in reference]
    order = sorted(range(len(reference)), key=lambda n: -leads[n])
    return evaluation.take(order, evaluation.origin), tuple(reference[n] for n in order)


def with_argmax(program: ExportedProgram) -> ExportedProgram:
    """`program` with arg-max over the last axis of its first output; layers keep their names."""
    module = copy.deepcopy(program.graph_module)
    end = module.graph.output_node()
    specs = program.graph_signature.output_specs
    place = next(n for n, spec in enumerate(specs) if spec.kind.name == "USER_OUTPUT")
    outputs = list(end.args[0])
    with module.graph.inserting_before(end):
        node = module.graph.call_function(torch.ops.aten.argmax.default, (outputs[place], -1))
    node.meta = {key: value for key, value in outputs[place].meta.items() if key != "val"}
    node.meta["val"] = torch.argmax(outputs[place].meta["val"], -1)
    outputs[place] = node
    end.args = (tuple(outputs),)
    module.recompile()
    signature = copy.deepcopy(program.graph_signature)
    signature.output_specs[place] = replace(signature.output_specs[place], arg=TensorArgument(name=node.name))
    return rebuilt(program, module=module, signature=signature)
