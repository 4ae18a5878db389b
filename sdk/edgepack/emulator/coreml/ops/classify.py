"""A classifier's answer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from edgepack.emulator.coreml.operation import Given, Op, Value


def classify(given: Given) -> tuple[Value, Value]:
    """The likeliest class, and all classes with their probabilities."""
    scores, classes = given["probabilities"].reshape(-1), given.values["classes"]
    assert isinstance(classes, tuple | Tensor)
    return classes[int(scores.argmax())], (classes, scores)


OPS: Mapping[str, Op] = {"classify": classify}
