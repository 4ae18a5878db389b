"""Whether a model's outputs depend on its input alone, in value and in size; if not, on what."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from edgepack.arrays import Sample
from edgepack.contract.samples import Samples
from edgepack.errors import SourceError
from edgepack.model import inference, randomness, state
from edgepack.model.flat_model import FlatModel
from edgepack.model.state import State

SIZES_HINT = (
    'end the model at tensors of fixed size: a detector at all boxes and scores, with kind = "detection" '
    "under [output], so that the app selects and suppresses boxes; else use torch.where or topk in place of "
    "a selection"
)


def check(model: FlatModel, evaluation: Samples, reference: tuple[Sample, ...], before: State) -> list[str]:
    """Compare the reference with a second run, and with the state of the model before the first; give notes.

    The model has its first buffers again afterwards. Raises SourceError with the cause if outputs differ.
    """
    _check_sizes(evaluation, reference)
    again = inference.run(model, evaluation.inputs[0])
    rewritten = [name.removeprefix("model.") for name in state.changed(model, before)]
    if any(not np.array_equal(a, b) for a, b in zip(again, reference[0])):
        raise _cause(model, evaluation.inputs[0], rewritten)
    buffers = {name.removeprefix("model.") for name, _ in model.named_buffers()}
    state.restore(model, before)
    return [
        f"forward rewrites buffer '{name}', but its outputs do not depend on that: files keep its first value"
        for name in rewritten
        if name in buffers
    ]


def _check_sizes(evaluation: Samples, reference: tuple[Sample, ...]) -> None:
    """Samples of one size have outputs of one size."""
    seen: dict[object, tuple[tuple[int, ...], ...]] = {}
    for sample, outputs in zip(evaluation.inputs, reference):
        shapes = tuple(output.shape for output in outputs)
        first = seen.setdefault(tuple(array.shape for array in sample), shapes)
        for number, (a, b) in enumerate(zip(first, shapes)):
            if a != b:
                raise SourceError(
                    f"the size of output {number} depends on values: {list(a)} for one sample, {list(b)} for "
                    "another of the same size",
                    hint=SIZES_HINT,
                )


def _cause(model: FlatModel, sample: Sample, rewritten: list[str]) -> SourceError:
    """The error that names why outputs differ: random numbers, or state in the model."""
    drawn = randomness.drawn_by(lambda: model(*(each.clone() for each in inference.tensors(sample))))
    differ = "the model returns different outputs for the same sample"
    if drawn and any("dropout" in name or "bernoulli" in name for name, _ in drawn):
        places = _places(line for name, line in drawn if "dropout" in name or "bernoulli" in name)
        return SourceError(
            f"{differ}: dropout is active{places}",
            hint="set it to eval mode before saving it; F.dropout needs training=self.training, else it is "
            "always on, and so is a dropout module whose train() is called in forward",
        )
    if drawn:
        names = ", ".join(dict.fromkeys(name for name, _ in drawn))
        return SourceError(
            f"{differ}: it draws random numbers by {names}{_places(line for _, line in drawn)}",
            hint="make the noise an input of the model, or leave sampling to the app",
        )
    if rewritten:
        names = ", ".join(f"'{name}'" for name in rewritten)
        return SourceError(
            f"{differ}: forward rewrites {names}, which a file cannot keep from call to call",
            hint="give forward the old value as an input and return the new one, and connect them in "
            "edgepack.toml: [[state]] with input = … and output = …",
        )
    return SourceError(differ, hint="forward depends on more than its inputs: a counter, a clock, a file")


def _places(lines: Iterable[str]) -> str:
    known = list(dict.fromkeys(line for line in lines if line))
    return f" ({'; '.join(known)})" if known else ""


def batch_statistics(model: torch.nn.Module) -> list[str]:
    """Notes about batch norm without running statistics, which depends on the samples of a batch."""
    return [
        f"'{path.removeprefix('model.')}' ({type(part).__name__}) has no running statistics: each sample is "
        "normalized by its own mean and variance"
        for path, part in model.named_modules()
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is None
    ]
