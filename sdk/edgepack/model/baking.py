"""Baking: the graph itself does what the contract asks of an app before and after it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument

from edgepack import metrics, toml
from edgepack.contract import Contract, ImageInput, Output
from edgepack.errors import SourceError

if TYPE_CHECKING:
    from edgepack.arrays import Sample
    from edgepack.contract.samples import Samples
    from edgepack.model.source import Source

_ENDED = "ends in arg-max"


class Bake(torch.nn.Module):
    """What stands in the graph before and after a model of one picture."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, image: ImageInput, activation: str) -> None:
        super().__init__()
        scale, bias = image.per_channel()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(bias, dtype=torch.float32))
        self.planes = image.layout == "NCHW"
        self.activation = activation
        self.training = False

    def before(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the model takes for `pixels`, uint8 [1, H, W, channels]."""
        values = pixels.to(torch.float32) * self.scale + self.bias
        return values.permute(0, 3, 1, 2) if self.planes else values

    def after(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The outputs, the activation applied to the first; softmax is over its last axis."""
        if self.activation == "softmax":
            return (torch.softmax(outputs[0], dim=-1), *outputs[1:])
        return (torch.sigmoid(outputs[0]), *outputs[1:]) if self.activation == "sigmoid" else outputs


def baked(contract: Contract) -> tuple[Bake, Contract]:
    """What goes into the graph, and the contract of the graph with it.

    Raises SourceError where the model takes anything but one picture of single floats.
    """
    image = contract.image
    if image is None or image.dtype != "float32":
        raise SourceError(
            "--bake-preprocessing is for a model that takes one picture, as floats",
            hint="declare the input with --input image:…, or leave the flag out",
        )
    plain = {"layout": "NHWC", "dtype": "uint8", "mean": (), "std": (), "value_range": (0.0, 1.0)}
    first, *others = contract.outputs
    table = {
        **contract.model_dump(),
        "inputs": [{**image.model_dump(), **plain}],
        "outputs": [{**first.model_dump(), "activation": "none"}, *(each.model_dump() for each in others)],
    }
    return Bake(image, first.activation), toml.validate(table, Contract, "the contract", SourceError)


def without_activation(contract: Contract) -> Contract:
    """`contract` with no activation on its scores, which arg-max, that follows, does not heed.

    Raises SourceError where there are no scores of classes, or a threshold asks for them.
    """
    scores = contract.classes
    if scores is None:
        raise SourceError(
            "--bake-argmax is for a model whose first output holds a score a class",
            hint='give --labels, or kind = "classification" under [output] in edgepack.toml',
        )
    if scores.threshold is not None:
        raise SourceError(
            f"the output has a threshold of {scores.threshold:g}, and --bake-argmax leaves no score for it",
            hint="leave one of them out",
        )
    first = Output.model_validate({**scores.model_dump(), "activation": "none"})
    return contract.model_copy(update={"outputs": (first, *contract.outputs[1:])})


def numbered(contract: Contract) -> Contract:
    """`contract` of a graph whose scores of classes have become the number of the best."""
    first = Output.model_validate({**contract.outputs[0].model_dump(), "kind": "class"})
    return contract.model_copy(update={"outputs": (first, *contract.outputs[1:])})


def clearest_first(evaluation: Samples, reference: tuple[Sample, ...]) -> tuple[Samples, tuple[Sample, ...]]:
    """Samples and what the float model answers, those first whose best score leads by most.

    The first become golden vectors, and run on emulated devices: of a class's number alone nobody could tell
    a near tie, which another processor's rounding turns, from a wrong answer.
    """
    leads = [float(np.diff(np.sort(row[0].ravel())[-2:]).sum()) for row in reference]
    order = sorted(range(len(reference)), key=lambda n: -leads[n])
    return evaluation.take(order, evaluation.origin), tuple(reference[n] for n in order)


def ended(source: Source) -> Source:
    """`source` as formats write it: with arg-max at the end, where files are to tell the best class alone.

    Repairs, pruning and lessons work on scores, so arg-max comes last, when a file is written.
    """
    if not source.argmax:
        return source
    kept = source.shared.get(_ENDED)
    if isinstance(kept, tuple) and kept[0] is source.exported:
        exported = kept[1]
    else:
        exported = _with_argmax(source.exported)
        source.shared[_ENDED] = source.exported, exported
    return replace(
        source,
        exported=exported,
        free=exported,
        contract=numbered(source.contract),
        reference=tuple((metrics.class_index(row[0]), *row[1:]) for row in source.reference),
        argmax=False,
    )


def _with_argmax(program: ExportedProgram) -> ExportedProgram:
    """`program` whose first output is arg-max over the last axis of what it was; layers keep their names."""
    module = copy.deepcopy(program.graph_module)
    end = module.graph.output_node()
    specs = program.graph_signature.output_specs
    place = next(n for n, each in enumerate(specs) if each.kind.name == "USER_OUTPUT")
    answers = list(end.args[0])
    with module.graph.inserting_before(end):
        node = module.graph.call_function(torch.ops.aten.argmax.default, (answers[place], -1))
    node.meta = {key: value for key, value in answers[place].meta.items() if key != "val"}
    node.meta["val"] = torch.argmax(answers[place].meta["val"], -1)
    answers[place] = node
    end.args = (tuple(answers),)
    module.recompile()
    signature = copy.deepcopy(program.graph_signature)
    signature.output_specs[place] = replace(signature.output_specs[place], arg=TensorArgument(name=node.name))
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
        verifiers=program.verifiers,
    )
