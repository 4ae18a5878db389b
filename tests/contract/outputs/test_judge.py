"""By which kind an output is judged that no kind is declared for."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.arrays import Array, Sample
from edgepack.contract import Output
from edgepack.contract.outputs import judge
from edgepack.contract.outputs.judge import Judged

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(30, 1, 5)).astype(np.float32)
TWO_NUMBERS = (np.array([300, 0.5]) + DRAW.normal(size=(30, 1, 2)) * [3, 0.2]).astype(np.float32)
UNIT = (
    LOGITS[:, :, [0, 1, 2, 3, 4, 0, 1, 2]]
    / np.linalg.norm(LOGITS[:, :, [0, 1, 2, 3, 4, 0, 1, 2]], axis=-1)[..., None]
)
ONE = DRAW.normal(size=(30, 1, 1)).astype(np.float32)


def kind(
    rows: Array, labels: Array | None = None, *, is_noise: bool = False, declared: str = "tensor"
) -> Judged:
    reference = tuple((row,) for row in rows)
    truth: tuple[Sample, ...] | None = None if labels is None else tuple((np.asarray(row),) for row in labels)
    (found,) = judge.judged([Output.model_validate({"kind": declared})], reference, truth, is_noise=is_noise)
    return found


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [
        (LOGITS, None, "scores"),
        (LOGITS[:10], None, "tensor"),
        (TWO_NUMBERS, None, "tensor"),
        (UNIT, None, "embedding"),
        (LOGITS.argmax(-1), None, "integers"),
        (LOGITS[..., None], None, "tensor"),
        (ONE, None, "tensor"),
        (ONE, ONE[:, 0, 0] > 0, "binary"),
        (ONE, (ONE[:, 0, 0] > 0).astype(int), "binary"),
        (ONE, ONE[:, 0, 0] * 2, "regression"),
        (LOGITS, (LOGITS[:, 0] > 0).astype(int), "multilabel"),
        (TWO_NUMBERS, TWO_NUMBERS[:, 0], "regression"),
    ],
)
def test_what_an_undeclared_output_turns_out_to_be(rows: Array, labels: Array | None, expected: str) -> None:
    found = kind(rows, labels)
    assert found.kind.name == expected
    assert found.takes_labels == (labels is not None)
    assert bool(found.note) == (expected not in ("tensor", "integers"))


def test_noise_shows_neither_scores_nor_spread() -> None:
    for rows in (LOGITS, ONE):
        found = kind(rows, is_noise=True)
        assert (found.kind.name, found.kind.metric, found.note) == ("values", None, "")
    assert kind(LOGITS, is_noise=True, declared="classification").kind.name == "classification"


def test_few_samples_do_not_show_the_spread_of_a_row() -> None:
    assert kind(TWO_NUMBERS[:8]).kind.name == "tensor"
    found = kind(TWO_NUMBERS[:7])
    assert (found.kind.name, found.note.partition(":")[0]) == (
        "values",
        "7 samples do not show how much output 'output' varies",
    )


def test_labels_that_say_nothing_are_named() -> None:
    found = kind(TWO_NUMBERS, np.arange(30))
    assert not found.takes_labels
    assert "labels are not used for output 'output'" in found.note
    found = kind(UNIT, np.arange(30), declared="embedding")
    assert "kind 'embedding' has no metric that takes labels" in found.note


def test_state_is_judged_by_sqnr_and_boxes_go_with_their_scores() -> None:
    declared = [
        Output(kind="detection", name="boxes", box_format="xyxy"),
        Output(kind="detection", name="scores"),
        Output(name="state_out"),
    ]
    reference = ((np.zeros((1, 3, 4)), np.zeros((1, 3)), np.ones((1, 8))),) * 2
    found = judge.judged(declared, reference, None, is_noise=False, state={"state_out"})
    assert [(each.kind.name, each.places) for each in found] == [("detection", (0, 1)), ("values", (2,))]
    again = judge.recorded(declared, [each.kind.name for each in found])
    assert [(each.kind, each.places) for each in again] == [(each.kind, each.places) for each in found]
