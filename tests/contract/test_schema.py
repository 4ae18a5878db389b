"""Contracts: what inputs, outputs and state must have in common, and the schema file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import edgepack
from edgepack.contract import AudioInput, Contract, ImageInput, Output, State, TensorInput


def test_two_of_one_name_are_refused() -> None:
    twice = TensorInput(kind="tensor", name="x", shape=(1,))
    with pytest.raises(ValidationError, match="two inputs or outputs have one name: x, x"):
        Contract(inputs=(twice,), outputs=(Output(name="x"),))


def test_image_classes_and_free_dims() -> None:
    free = TensorInput(kind="tensor", name="a", shape=("N", 3, "L"))
    other = TensorInput(kind="tensor", name="b", shape=("N", 1))
    several = Contract(inputs=(free, other), outputs=(Output(),))
    assert several.free_dims == ("N", "L")
    assert several.image is None
    assert several.classes is None
    beside = Contract(inputs=(image(), free), outputs=(Output(),))
    assert beside.image is None
    single = Contract(inputs=(image(),), outputs=(Output(kind="classification"),))
    assert single.image == image()
    assert single.classes is not None
    assert single.free_dims == ()


def test_a_contract_survives_json() -> None:
    labels = ('a"b', "c\\d", "e\nf", "{{ x }}", "☃")
    made = Contract(inputs=(image(),), outputs=(Output(kind="classification", labels=labels),))
    assert Contract.model_validate_json(made.model_dump_json()) == made


def test_the_schema_that_is_shipped_is_the_contract_s() -> None:
    shipped = json.loads((Path(edgepack.__file__).parent / "contract" / "contract.schema.json").read_text())
    assert shipped == Contract.model_json_schema()


def test_state_names_an_input_and_an_output() -> None:
    state = TensorInput(kind="tensor", name="state", shape=(2, 1, 8))
    keys: dict[str, Any] = {"inputs": (image(), state), "outputs": (Output(), Output(name="next"))}
    made = Contract(**keys, state=(State(input="state", output="next"),))
    assert made.state[0].initial == 0.0
    with pytest.raises(ValidationError, match="state names 'nxt', which is none of output, next"):
        Contract(**keys, state=(State(input="state", output="nxt"),))


@pytest.mark.parametrize("boxes", [(0, 1), (1, 2)])
def test_detection_needs_boxes_then_scores(boxes: tuple[int, int]) -> None:
    found = [Output(name=f"o{n}") for n in range(3)]
    found[boxes[0]] = Output(name="boxes", kind="detection", box_format="xyxy", threshold=0.25)
    with pytest.raises(ValidationError, match="two outputs"):
        Contract(inputs=(image(),), outputs=tuple(found))
    found[boxes[1]] = Output(name="scores", kind="detection", labels=("a", "b"))
    assert Contract(inputs=(image(),), outputs=tuple(found)).labels == ("a", "b")


def image(**keys: object) -> ImageInput:
    return ImageInput.model_validate({"kind": "image", "size": [20, 10], **keys})


def test_the_audio_input_is_the_only_one_apart_from_state() -> None:
    audio = AudioInput(kind="audio", sample_rate=16000, shape=(1, 512))
    carried = TensorInput(kind="tensor", name="state", shape=(2, 1, 8))
    outputs = (Output(), Output(name="next"))
    state = (State(input="state", output="next"),)
    assert Contract(inputs=(audio, carried), outputs=outputs, state=state).audio == audio
    assert Contract(inputs=(audio, carried), outputs=outputs).audio is None
