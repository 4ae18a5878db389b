"""The output of a classifier."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from edgepack.emulator.coreml.operation import Inputs, Op, Value


def classify(inputs: Inputs) -> tuple[Value, Value]:
    """The most probable class, and all classes with their probabilities."""
    scores, classes = inputs["probabilities"].reshape(-1), inputs.values["classes"]
    assert isinstance(classes, tuple | Tensor)
    return classes[int(scores.argmax())], (classes, scores)


OPS: Mapping[str, Op] = {"classify": classify}
