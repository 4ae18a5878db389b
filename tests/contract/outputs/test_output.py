"""Outputs: which keys go with which kind."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from edgepack.contract import Output
from edgepack.contract.outputs import KINDS


def test_labels_go_with_classification_only() -> None:
    with pytest.raises(ValidationError, match="labels go with kind 'classification'"):
        Output(kind="regression", labels=("a",))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"box_format": "xyxy"}, "box_format goes with kind 'detection'"),
        ({"kind": "embedding", "threshold": 0.5}, "threshold goes with"),
        ({"kind": "embedding", "labels": ["a"]}, "labels go with"),
    ],
)
def test_an_output_that_does_not_hold_together(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Output.model_validate(keys)


def test_every_kind_of_the_schema_has_a_module() -> None:
    assert tuple(KINDS) == get_args(Output.model_fields["kind"].annotation)


def test_an_activation_does_not_apply_to_a_class_index() -> None:
    with pytest.raises(ValidationError, match="activation 'softmax' does not apply to kind 'class'"):
        Output(kind="class", activation="softmax")
