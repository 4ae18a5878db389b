"""The values that a search compares, by kind of output."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract import Output
from edgepack.contract.outputs import judge
from edgepack.contract.outputs.ranking import ranked

DRAW = np.random.default_rng(0)
TEMPERATURE = 300 + 3 * DRAW.normal(size=(30, 1, 1))
HUMIDITY = 0.5 + 0.2 * DRAW.normal(size=(30, 1, 1))


def rank_db(kinds: list[str], outputs: tuple[Sample, ...], reference: tuple[Sample, ...]) -> float:
    declared = [Output.model_validate({"kind": kind, "name": f"o{n}"}) for n, kind in enumerate(kinds)]
    pairs = ranked(declared, judge.judged(declared, reference, None, is_noise=False), reference)
    return metrics.sqnr_db(pair for row in zip(outputs, reference) for pair in pairs(*row))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "regression"])
def test_a_small_number_counts_as_much_as_a_large_one(joined: bool, kind: str) -> None:
    def rows(first: float, second: float) -> tuple[Sample, ...]:
        pairs = zip(TEMPERATURE + first, HUMIDITY + second)
        return tuple((np.concatenate(pair, 1),) if joined else pair for pair in pairs)

    kinds = [kind] if joined else [kind, kind]
    temperature, humidity = (rank_db(kinds, rows(*each), rows(0, 0)) for each in ((3, 0), (0, 0.2)))
    assert temperature == pytest.approx(humidity, abs=1.5)
    assert -1 < temperature < 5, "one of two outputs has noise as large as its spread"


def test_of_a_decision_only_its_surroundings_count() -> None:
    logits = np.concatenate([np.full((20, 1, 1), 80.0), np.linspace(-2, 2, 20).reshape(20, 1, 1)])
    large, small = logits.copy(), logits.copy()
    large[:20] += 20
    small[20:] += 1
    rows = [tuple((row,) for row in each) for each in (logits, large, small)]
    assert rank_db(["binary"], rows[1], rows[0]) > 100 > 20 > rank_db(["binary"], rows[2], rows[0])


def test_integers_are_equal_or_not() -> None:
    reference = tuple((np.full((1, 10), 3),) for _ in range(4))
    for wrong in (0, 2):
        broken = tuple((np.array([[wrong] + [3] * 9]),) for _ in range(4))
        assert rank_db(["tensor"], broken, reference) == pytest.approx(10)
