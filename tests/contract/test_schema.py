"""Contracts: what an app must feed, and `--input`'s short form of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import edgepack
from edgepack.contract import Contract, ImageInput, Output, State, TensorInput, parse_input
from edgepack.errors import PlanError


def image(**keys: object) -> ImageInput:
    return ImageInput.model_validate({"kind": "image", "size": [20, 10], **keys})


@pytest.mark.parametrize(
    ("spec", "table"),
    [
        ("tensor:1x3x224x224", {"kind": "tensor", "shape": [1, 3, 224, 224], "name": "input"}),
        ("tensor:1x8:int64", {"kind": "tensor", "shape": [1, 8], "dtype": "int64", "name": "input"}),
        ("tensor:Nx3xHxW", {"kind": "tensor", "shape": ["N", 3, "H", "W"], "name": "input"}),
        ("state=tensor:2x1x128", {"kind": "tensor", "shape": [2, 1, 128], "name": "state"}),
        ("tensor:5", {"kind": "tensor", "shape": [5], "name": "input"}),
        ("image:224", {"kind": "image", "size": [224, 224]}),
        ("image:20x10", {"kind": "image", "size": [20, 10]}),
        ("photo=image:8", {"kind": "image", "size": [8, 8], "name": "photo"}),
    ],
)
def test_parse_input(spec: str, table: dict[str, object]) -> None:
    assert parse_input(spec, 0) == table


def test_inputs_without_a_name_are_numbered() -> None:
    assert [parse_input("tensor:1x8", n)["name"] for n in range(3)] == ["input", "input_1", "input_2"]


@pytest.mark.parametrize(
    "spec",
    ["", "224", "tensor:", "tensor", "image:", "image:224x", "image:1x2x3", "a=b=tensor:1", "9=image:8"],
)
def test_parse_input_refuses_what_it_does_not_understand(spec: str) -> None:
    with pytest.raises(PlanError, match="is not understood") as raised:
        parse_input(spec, 0)
    assert "tensor:1x3x224x224" in raised.value.hint


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        ({}, (1, 3, 20, 10)),
        ({"layout": "NHWC"}, (1, 20, 10, 3)),
        ({"channels": "L"}, (1, 1, 20, 10)),
        ({"channels": "L", "layout": "NHWC"}, (1, 20, 10, 1)),
    ],
)
def test_shape_of_a_picture(keys: dict[str, object], shape: tuple[int, ...]) -> None:
    assert image(**keys).shape == shape


def test_shorter_side_is_the_larger_of_size_unless_given() -> None:
    assert image().shorter_side == 20
    assert image(resize_to=32).shorter_side == 32


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"mean": [0.5]}, "mean has 1 values, channels 'RGB' are 3"),
        ({"channels": "L", "std": [1.0, 1.0, 1.0]}, "std has 3 values, channels 'L' are 1"),
        ({"std": [1.0, 0.0, 1.0]}, "std must not be 0"),
        ({"value_range": [1.0, 1.0]}, "value_range must rise"),
        ({"resize_to": 19}, "smaller than the crop"),
        ({"size": [0, 10]}, "greater than or equal to 1"),
        ({"dtype": "uint8", "std": [1.0, 2.0, 3.0]}, "no value_range, mean or std"),
        ({"pad_value": 3}, "pad_value goes with resize"),
    ],
)
def test_a_picture_that_does_not_hold_together(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        image(**keys)


def test_stretch_needs_no_room_for_a_crop() -> None:
    assert image(resize="stretch", resize_to=5).size == (20, 10)


def test_per_channel_is_what_range_mean_and_std_do() -> None:
    given = image(value_range=[-1.0, 1.0], mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 2.0])
    scale, bias = given.per_channel()
    pixel = np.array([0.0, 100.0, 255.0])
    want = (pixel / 255 * 2 - 1 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.25, 2.0])
    np.testing.assert_allclose(pixel * scale + bias, want)


def test_labels_go_with_classification_only() -> None:
    with pytest.raises(ValidationError, match="labels go with kind 'classification'"):
        Output(kind="regression", labels=("a",))


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


@pytest.mark.parametrize("shape", [["2x"], [0], [-1], ["N-1"], [True, 2.5], []])
def test_dimensions_are_whole_numbers_or_names(shape: list[object]) -> None:
    with pytest.raises(ValidationError):
        TensorInput.model_validate({"kind": "tensor", "shape": shape})


def test_the_schema_that_is_shipped_is_the_contract_s() -> None:
    shipped = json.loads((Path(edgepack.__file__).parent / "contract.schema.json").read_text())
    assert shipped == Contract.model_json_schema()


def test_state_names_an_input_and_an_output() -> None:
    state = TensorInput(kind="tensor", name="state", shape=(2, 1, 8))
    keys = {"inputs": (image(), state), "outputs": (Output(), Output(name="next"))}
    made = Contract(**keys, state=(State(input="state", output="next"),))
    assert made.state[0].initial == 0.0
    with pytest.raises(ValidationError, match="state names 'nxt', which is none of output, next"):
        Contract(**keys, state=(State(input="state", output="nxt"),))


@pytest.mark.parametrize("boxes", [(0, 1), (1, 2)])
def test_detection_stands_on_boxes_then_scores(boxes: tuple[int, int]) -> None:
    found = [Output(name=f"o{n}") for n in range(3)]
    found[boxes[0]] = Output(name="boxes", kind="detection", box_format="xyxy", threshold=0.25)
    with pytest.raises(ValidationError, match="two outputs"):
        Contract(inputs=(image(),), outputs=tuple(found))
    found[boxes[1]] = Output(name="scores", kind="detection", labels=("a", "b"))
    assert Contract(inputs=(image(),), outputs=tuple(found)).labels == ("a", "b")


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
