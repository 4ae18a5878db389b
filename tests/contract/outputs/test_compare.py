"""Comparison of a model file's outputs with the float model's, by kind of output."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.contract import Output
from edgepack.contract.outputs.compare import compare

SCORES = Output(kind="classification")
INDEX = Output(kind="class")
REFERENCE = tuple((np.array([row], np.float32),) for row in ([0.0, 4.0], [4.0, 0.0]))
NOISY = tuple((row[0] + np.float32(0.4),) for row in REFERENCE)


def test_a_classification_is_judged_by_classes_and_sqnr() -> None:
    found = compare([SCORES], (NOISY[0], NOISY[0]), REFERENCE, [1, 1])
    assert (found.task.agreement, found.task.accuracy_float, found.task.accuracy) == (50.0, 50.0, 100.0)
    assert not found.exact
    assert found.has_values


def test_sqnr_covers_the_values_of_all_outputs() -> None:
    outputs = tuple((*row, *row) for row in NOISY)
    reference = tuple((*row, *row) for row in REFERENCE)
    for kind in ("tensor", "embedding", "regression", "segmentation"):
        found = compare([Output(kind=kind), Output(name="b")], outputs, reference, None)
        assert found.sqnr_db == pytest.approx(10 * np.log10(16 / 0.32))
        assert found.task.agreement is None


def test_equal_outputs_are_exact_and_have_no_sqnr() -> None:
    found = compare([SCORES], REFERENCE, REFERENCE, None)
    assert found.exact
    assert found.sqnr_db is None
    assert found.task.accuracy is None


@pytest.mark.parametrize("index", [0, 1])
def test_a_class_index_has_agreement_but_no_sqnr(index: int) -> None:
    reference = ((np.array([1]),), (np.array([0]),))
    found = compare([INDEX], ((np.array([1], np.int32),), (np.array([index]),)), reference, None)
    assert found.task.agreement == (50.0 if index else 100.0)
    assert found.exact == (index == 0)
    assert not found.has_values
    assert found.sqnr_db is None
