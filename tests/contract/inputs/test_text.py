"""Text inputs: short texts are padded with `pad_id`."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.contract import TextInput
from edgepack.errors import SourceError

TEXT = TextInput(kind="text", shape=(1, 8), pad_id=7)


def test_a_short_text_is_padded_at_its_end() -> None:
    found = TEXT.from_array(np.array([3, 4, 5]), "here")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[3, 4, 5, 7, 7, 7, 7, 7]])
    np.testing.assert_array_equal(TEXT.from_array(np.array([[3]]), "here"), [[3] + [7] * 7])


def test_a_text_of_any_length_is_not_padded() -> None:
    free = TextInput(kind="text", shape=(1, "length"), pad_id=7)
    np.testing.assert_array_equal(free.from_array(np.array([3, 4, 5]), "here"), [[3, 4, 5]])


@pytest.mark.parametrize("shape", [(9,), (0,), (), (2, 3)])
def test_texts_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceError, match="'input' is 1x8, a sample is"):
        TEXT.from_array(np.zeros(shape, int), "here")


def test_synthetic_text_ends_in_padding() -> None:
    (row,) = TEXT.synthetic(np.random.default_rng(0))
    assert set(row[:6]) <= {0, 1}
    np.testing.assert_array_equal(row[6:], [7, 7])
