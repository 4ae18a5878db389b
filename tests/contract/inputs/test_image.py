"""Image inputs: validation, shapes and scaling."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgepack.contract import ImageInput


def image(**keys: object) -> ImageInput:
    return ImageInput.model_validate({"kind": "image", "size": [20, 10], **keys})


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        ({}, (1, 3, 20, 10)),
        ({"layout": "NHWC"}, (1, 20, 10, 3)),
        ({"channels": "L"}, (1, 1, 20, 10)),
        ({"channels": "L", "layout": "NHWC"}, (1, 20, 10, 1)),
    ],
)
def test_shape_of_an_image(keys: dict[str, object], shape: tuple[int, ...]) -> None:
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
def test_an_image_that_does_not_hold_together(keys: dict[str, object], words: str) -> None:
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
