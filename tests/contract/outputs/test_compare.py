"""Comparison of a model file's outputs with the float model's, by kind of output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgepack.arrays import Sample
from edgepack.contract import Output
from edgepack.contract.outputs import judge
from edgepack.contract.outputs.compare import Comparison, compare

SCORES = Output(kind="classification")
INDEX = Output(kind="class")
REFERENCE = tuple((np.array([row], np.float32),) for row in ([0.0, 4.0], [4.0, 0.0]))
NOISY = tuple((row[0] + np.float32(0.4),) for row in REFERENCE)


def compared(
    declared: Sequence[Output],
    outputs: tuple[Sample, ...],
    reference: tuple[Sample, ...],
    labels: Sequence[int] | None = None,
) -> tuple[Comparison, ...]:
    truth = None if labels is None else tuple((np.asarray(label),) for label in labels)
    judged = judge.judged(declared, reference, truth, is_noise=False)
    return compare(declared, judged, outputs, reference, truth)


def test_a_classification_is_judged_by_classes_and_sqnr() -> None:
    (found,) = compared([SCORES], (NOISY[0], NOISY[0]), REFERENCE, [1, 1])
    assert (found.task.agreement, found.task.accuracy_float, found.task.accuracy) == (50.0, 50.0, 100.0)
    assert not found.exact
    assert found.has_values


def test_sqnr_is_that_of_each_output() -> None:
    outputs = tuple((*row, *exact) for row, exact in zip(NOISY, REFERENCE)) * 4
    reference = tuple((*row, *row) for row in REFERENCE) * 4
    for kind in ("tensor", "embedding", "regression"):
        first, second = compared([Output(kind=kind), Output(name="b")], outputs, reference)
        assert first.sqnr_db == pytest.approx(10 * np.log10(16 / 0.32))
        assert (second.sqnr_db, second.exact, second.task.agreement) == (None, True, 100)


def test_equal_outputs_are_exact_and_have_no_sqnr() -> None:
    (found,) = compared([SCORES], REFERENCE, REFERENCE)
    assert found.exact
    assert found.sqnr_db is None
    assert found.task.accuracy is None


@pytest.mark.parametrize("index", [0, 1])
def test_a_class_index_has_agreement_but_no_sqnr(index: int) -> None:
    reference = ((np.array([1]),), (np.array([0]),))
    (found,) = compared([INDEX], ((np.array([1], np.int32),), (np.array([index]),)), reference)
    assert found.task.agreement == (50.0 if index else 100.0)
    assert found.exact == (index == 0)
    assert not found.has_values
    assert found.sqnr_db is None
