"""Pruning of a source by a given ratio, or by the largest ratio that meets the goal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgepack.compress import pruning_search
from edgepack.compress.counts import layer_costs
from edgepack.compress.distillation import TrainingBudget
from edgepack.compress.pruning_search import PrunedSource
from edgepack.contract import Output
from edgepack.errors import PlanError
from edgepack.model.inference import run
from edgepack.model.source import Source
from edgepack.options import CompressionOptions, Pruning

pytest.importorskip("torch_pruning")

NONE = TrainingBudget(0.0, None, 0)


def _prune(
    source: Source, pruning: Pruning, goal: CompressionOptions, budget: TrainingBudget = NONE
) -> tuple[PrunedSource | None, list[str]]:
    lines: list[str] = []
    return pruning_search.prune(source, pruning, goal, budget, lines.append), lines


def _values(source: Source) -> int:
    return sum(each.values for each in layer_costs(source).values())


@pytest.fixture(scope="module")
def narrow(small_source: Source) -> PrunedSource:
    found, lines = _prune(small_source, Pruning("channels", 0.3), CompressionOptions(min_agreement=100))
    assert found is not None
    assert lines == ["prune 0.3"]
    return found


def test_a_given_ratio_is_used_even_if_it_misses_the_goal(narrow: PrunedSource) -> None:
    assert narrow.by_hand
    assert narrow.report.what == "0.3"
    assert narrow.report.agreement is not None
    assert narrow.report.agreement < 100
    assert narrow.report.agreement == narrow.report.agreement_unrecovered
    assert narrow.report.recovery_steps == 0


def test_a_pruned_source_is_compared_with_the_whole_model(narrow: PrunedSource, small_source: Source) -> None:
    smaller = narrow.source
    assert _values(smaller) < 0.7 * _values(small_source)
    assert narrow.report.after.parameters < 0.7 * narrow.report.before.parameters
    assert narrow.report.after.multiply_adds < 0.7 * narrow.report.before.multiply_adds
    assert smaller.reference is small_source.reference
    assert smaller.ranges == {}
    assert smaller.cache is not small_source.cache
    assert smaller.module is not None
    rows = small_source.evaluation.inputs[:20]
    graph = smaller.exported.module()
    for sample in rows:
        one, other = run(smaller.module, sample)[0], run(graph, sample)[0]
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    assert _values(small_source) == 22528, "the whole model is not changed"


def test_single_weights_become_zeros(small_source: Source) -> None:
    found, lines = _prune(small_source, Pruning("weights", 0.5), CompressionOptions())
    assert found is not None
    assert lines == ["prune weights:0.5"]
    assert found.report.after.parameters == found.report.before.parameters
    assert found.report.after.nonzero == pytest.approx(0.5 * found.report.before.nonzero, rel=0.2)


def test_auto_uses_the_largest_ratio_that_meets_the_goal(small_source: Source, narrow: PrunedSource) -> None:
    assert narrow.report.agreement is not None
    goal = CompressionOptions(min_agreement=narrow.report.agreement)
    found, lines = _prune(small_source, Pruning("channels", None), goal)
    assert found is not None
    assert not found.by_hand
    assert found.report.what in ("0.5", "0.4", "0.3")
    assert found.report.agreement is not None
    assert found.report.agreement >= narrow.report.agreement
    missed = [each for each in lines if "misses the goal" in each]
    assert len(missed) == [0.5, 0.4, 0.3].index(float(found.report.what))


def test_auto_prunes_nothing_if_no_ratio_meets_the_goal(small_source: Source) -> None:
    found, lines = _prune(
        small_source, Pruning("channels", None), CompressionOptions(max_drop=0, min_agreement=100)
    )
    assert found is None
    assert lines[-1].startswith("pruned by 0.1: agreement ")
    assert lines[-1].endswith("misses the goal")


def test_fine_tuning_recovers_some_agreement(small_source: Source, narrow: PrunedSource) -> None:
    found, lines = _prune(
        small_source, Pruning("channels", 0.3), CompressionOptions(), TrainingBudget(0.0, 60, 0)
    )
    assert found is not None
    assert lines == ["prune 0.3", "fine-tune the pruned model, 60 steps"]
    assert found.report.recovery_steps == 60
    assert found.report.agreement_unrecovered == narrow.report.agreement
    assert found.report.agreement is not None
    assert found.report.agreement > (narrow.report.agreement or 0)


def test_fine_tuning_without_samples_and_auto_without_classes_are_refused(small_source: Source) -> None:
    with pytest.raises(PlanError, match="fine-tuning needs samples to train on: give --calib"):
        _prune(
            replace(small_source, calib=None),
            Pruning("channels", 0.3),
            CompressionOptions(),
            TrainingBudget(1.0, None, 0),
        )
    plain = small_source.contract.model_copy(update={"outputs": (Output(),)})
    with pytest.raises(PlanError, match="judged by classes, and this model has none: give a ratio"):
        _prune(replace(small_source, contract=plain), Pruning("channels", None), CompressionOptions())
