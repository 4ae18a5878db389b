"""Expectations: what monitoring is compared with is counted from the samples themselves."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.contract import Contract, ImageInput, Output, TensorInput, expected
from edgepack.contract.preprocess import prepare
from edgepack.contract.samples import Samples

CLASSES = Output(kind="classification", activation="softmax")


def samples(*arrays: np.ndarray) -> Samples:
    return Samples(tuple((each,) for each in arrays), None, "some")


@pytest.mark.parametrize("keys", [{}, {"layout": "NHWC"}, {"channels": "BGR"}, {"dtype": "uint8"}])
def test_the_mean_of_an_image_is_that_of_its_8_bit_values(keys: dict[str, str]) -> None:
    scaled = {} if keys.get("dtype") else {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)}
    image = ImageInput.model_validate({"kind": "image", "size": (8, 8), **keys, **scaled})
    arrays = [np.full((8, 8, 3), level, np.uint8) for level in (0, 15, 16, 200, 255)]
    seen = samples(*(prepare(each, image) for each in arrays))
    made = expected.of(Contract(inputs=(image,), outputs=(CLASSES,)), seen, seen, ((np.eye(2)[:1],),))
    counts = made.input_mean.counts
    assert (counts[0], counts[1], counts[12], counts[15], sum(counts)) == (2, 1, 1, 1, 5)


def test_scores_are_counted_after_the_activation() -> None:
    tensor = TensorInput(kind="tensor", shape=(1, 2))
    outputs = tuple((np.array([each], np.float32),) for each in ([0.0, 0.0], [99.0, 0.0], [0.0, 2.2]))
    rows = samples(*(np.full((1, 2), each, np.float32) for each in (0, 1, 2)))
    made = expected.of(Contract(inputs=(tensor,), outputs=(CLASSES,)), rows, rows, outputs)
    assert made.top_score.counts[10] == 1  # 0.5
    assert made.top_score.counts[19] == 1  # 1
    assert made.top_score.counts[18] == 1  # 0.9002
    assert len(made.input_mean.edges) == 15
    assert sum(made.input_mean.counts) == 3


def test_what_does_not_exist_is_left_empty() -> None:
    tensor = TensorInput(kind="tensor", shape=(1, 2))
    rows = samples(np.ones((1, 2), np.float32))
    made = expected.of(Contract(inputs=(tensor,), outputs=(Output(),)), rows, rows, ((np.ones((1, 2)),),))
    assert made.top_score.edges == ()
    assert made.input_mean.edges == ()


def test_values_that_are_not_finite_have_no_part_in_the_edges() -> None:
    tensor = TensorInput(kind="tensor", shape=(1, 2))
    rows = samples(*(np.full((1, 2), each, np.float32) for each in (0, 1, np.inf)))
    outputs = tuple((np.ones((1, 2)),) for _ in range(3))
    made = expected.of(Contract(inputs=(tensor,), outputs=(Output(),)), rows, rows, outputs)
    assert (min(made.input_mean.edges) > 0, max(made.input_mean.edges) < 1) == (True, True)
    assert sum(made.input_mean.counts) == 3
