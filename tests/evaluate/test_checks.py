"""Checks: outputs compared with those of the float model, values compared with limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from edgepack import metrics
from edgepack.arrays import Sample
from edgepack.contract import Contract, Output, TensorInput
from edgepack.contract.outputs import judge
from edgepack.emulator.job import Death
from edgepack.evaluate import checks
from edgepack.evaluate.host import Run
from edgepack.evaluate.model_file import Reference
from edgepack.options import CompressionOptions
from edgepack.report import Check, Figures
from edgepack.scheme import SchemeName
from edgepack.target import Budget

INPUTS = (TensorInput(kind="tensor", shape=(1, 8)),)
CLASSES = Contract(inputs=INPUTS, outputs=(Output(kind="classification"),))
PLAIN = Contract(inputs=INPUTS, outputs=(Output(),))
BUDGET = Budget(size_mb=10, memory_mb=100, min_agreement=95, min_sqnr_db=8)
DEFAULT = CompressionOptions()


def rows(*values: list[float]) -> tuple[Sample, ...]:
    return tuple((np.array([each], np.float32),) for each in values)


def figures(
    ran: Run, outputs: tuple[Sample, ...], labels: tuple[int, ...] | None, contract: Contract
) -> Figures:
    """The figures of a run against a float model that gives `outputs`."""
    truth = None if labels is None else tuple((np.asarray(label),) for label in labels)
    judged = judge.judged(contract.outputs, outputs, truth, is_noise=False)
    return checks.figures(ran, Reference((), outputs, contract, judged, truth))


def run(outputs: tuple[Sample, ...], memory_mb: float | None = 5.0) -> Run:
    return Run(outputs, load_seconds=0.1, memory_mb=memory_mb, latency_ratio=0.5, latency_spread=(0.4, 0.6))


def verdicts(results: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.verdict for check in results}


FLOAT = rows([3, 1, 0], [0, 2, 1], [1, 0, 4], [5, 1, 1])
OURS = rows([3, 1, 0], [0, 2, 1], [1, 0, 4], [1, 5, 1])


def test_agreement_and_accuracy_are_percentages_of_top_answers() -> None:
    found = figures(run(OURS), FLOAT, (0, 1, 2, 2), CLASSES)
    assert (found.agreement, found.accuracy_float, found.accuracy) == (75.0, 75.0, 75.0)
    found = figures(run(OURS), FLOAT, (0, 1, 2, 1), CLASSES)
    assert (found.accuracy_float, found.accuracy) == (75.0, 100.0)
    assert found.latency_ratio == 0.5
    assert found.memory_mb == 5.0


def test_without_classes_agreement_is_r2_and_without_labels_there_is_no_accuracy() -> None:
    found = figures(run(OURS * 2), FLOAT * 2, (0, 1, 2, 2) * 2, PLAIN)
    assert found.outputs[0].metric is not None
    assert (found.outputs[0].metric.name, found.accuracy) == ("R2", None)
    found = figures(run(OURS), FLOAT, None, CLASSES)
    assert (found.agreement, found.accuracy) == (75.0, None)


def test_sqnr_is_ten_times_the_logarithm_of_signal_over_noise() -> None:
    found = figures(run(rows([10.0, 0.0])), rows([9.0, 0.0]), None, PLAIN)
    assert found.sqnr_db == pytest.approx(10 * math.log10(81))
    half = figures(run(rows([2.0], [2.0])), rows([1.0], [2.0]), None, PLAIN)
    assert half.sqnr_db == pytest.approx(10 * math.log10(5))


def test_sqnr_is_that_of_the_worst_output() -> None:
    reference = ((np.ones((1, 4)), np.ones((1, 4))),) * 8
    ours = ((np.ones((1, 4)), np.zeros((1, 4))),) * 8
    contract = Contract(inputs=INPUTS, outputs=(Output(), Output(name="other")))
    found = figures(run(ours), reference, None, contract)
    assert found.sqnr_db == pytest.approx(0)
    failed = [
        (check.name, check.output)
        for check in checks.checks(run(ours), found, BUDGET, DEFAULT, "w8a8")
        if check.verdict == "fail"
    ]
    assert failed == [("R2", "other"), ("sqnr", "other")]


def test_equal_outputs_are_exact() -> None:
    found = figures(run(FLOAT * 2), FLOAT * 2, None, PLAIN)
    assert found.exact
    assert found.sqnr_db is None
    assert set(verdicts(checks.checks(run(FLOAT * 2), found, BUDGET, DEFAULT, "w8a8"))) == {
        "runs",
        "memory",
        "R2",
    }


def test_another_number_of_samples_or_outputs_is_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        figures(run(FLOAT[:3]), FLOAT, None, PLAIN)
    with pytest.raises(ValueError, match="zip"):
        figures(run(tuple((*row, row[0]) for row in FLOAT)), FLOAT, None, PLAIN)


@pytest.mark.parametrize(("agreement", "verdict"), [(95.0, "pass"), (94.999, "fail"), (100.0, "pass")])
def test_agreement_has_the_budget_s_limit(agreement: float, verdict: str) -> None:
    found = Figures(agreement=agreement, sqnr_db=20.0, memory_mb=5.0)
    assert verdicts(checks.checks(run(OURS), found, BUDGET, DEFAULT, "w8a8"))["agreement"] == verdict


@pytest.mark.parametrize(
    ("scheme", "decibels", "verdict"),
    [
        ("w8a8", 8.0, "pass"),
        ("w8a8", 7.9, "fail"),
        ("w8", 7.9, "fail"),
        ("fp16", 29.9, "fail"),
        ("fp16", 30.0, "pass"),
        ("fp32", 59.9, "fail"),
        ("fp32", 60.0, "pass"),
    ],
)
def test_sqnr_has_the_budget_s_limit_and_floats_their_own(scheme: str, decibels: float, verdict: str) -> None:
    found = Figures(sqnr_db=decibels, memory_mb=5.0)
    assert verdicts(checks.checks(run(OURS), found, BUDGET, DEFAULT, scheme))["sqnr"] == verdict


def test_memory_and_size_have_limits_and_unknown_memory_is_skipped_with_a_reason() -> None:
    for memory, verdict in ((100.0, "pass"), (100.1, "fail"), (None, "skipped")):
        found = Figures(sqnr_db=20.0, memory_mb=memory)
        results = checks.checks(run(OURS), found, BUDGET, DEFAULT, "w8a8")
        assert verdicts(results)["memory"] == verdict
    assert results[-1].reason
    assert checks.size(10.0, BUDGET).verdict == "pass"
    assert checks.size(10.1, BUDGET).verdict == "fail"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_file_that_answers_nan_or_infinity_fails(value: float) -> None:
    bad = run(rows([1, 2, 3], [0, value, 1], [1, 0, 4], [5, 1, 1]))
    with np.errstate(invalid="ignore"):
        found = figures(bad, FLOAT, None, CLASSES)
    (only,) = checks.checks(bad, found, BUDGET, DEFAULT, "w8a8")
    assert (only.verdict, only.reason) == ("fail", "the file returns NaN or infinity")


def test_a_float_model_that_answers_only_zeros_proves_nothing() -> None:
    found = figures(run(rows([1.0, 0.0])), rows([0.0, 0.0]), None, PLAIN)
    results = checks.checks(run(rows([1.0, 0.0])), found, BUDGET, DEFAULT, "w8a8")
    assert verdicts(results)["sqnr"] == "fail"


def test_a_death_fails_and_what_cannot_run_is_skipped_both_with_reasons() -> None:
    (died,) = checks.died(Death("the runtime was ended by SIGSEGV"))
    assert (died.name, died.verdict, died.reason) == ("runs", "fail", "the runtime was ended by SIGSEGV")
    (skipped,) = checks.cannot_run("Core ML runs on macOS only")
    assert (skipped.name, skipped.verdict) == ("runs", "skipped")
    assert "macOS" in skipped.reason


def test_a_file_that_an_evaluator_ran_is_evaluated_and_its_memory_is_left_out() -> None:
    ran, memory = Check("runs", "pass", None, None, ""), Check("memory", "pass", 3.0, 100.0, "MB")
    good = Check("sqnr", "pass", 31.0, 8.0, "dB")
    found = checks.evaluated((ran, good, memory), "macOS only; evaluated in torch")
    assert verdicts(found) == {"runs": "evaluated", "sqnr": "pass"}
    assert found[0].reason == "macOS only; evaluated in torch"
    failed = Check("runs", "fail", None, None, "", "NaN")
    assert checks.evaluated((failed,), "macOS only") == (failed,)


@pytest.mark.parametrize(("activation", "call"), [("softmax", torch.softmax), ("sigmoid", torch.sigmoid)])
def test_activated_is_torch_s_and_touches_the_first_output_alone(
    activation: str, call: Callable[..., torch.Tensor]
) -> None:
    scores = np.array([[-600.0, 3.0, 900.0, 0.5]], np.float32)
    (found,) = metrics.activated(((scores, scores),), activation)
    axis = {"dim": -1} if activation == "softmax" else {}
    np.testing.assert_allclose(found[0], call(torch.from_numpy(scores), **axis).numpy(), atol=1e-6)
    assert found[1] is scores
    assert metrics.activated(((scores,),), "none")[0][0] is scores


def test_cosine() -> None:
    one = np.array([1.0, 0.0])
    assert metrics.cosine(one, one * 5) == pytest.approx(1)
    assert metrics.cosine(one, np.array([0.0, 1.0])) == pytest.approx(0)
    assert metrics.cosine(one, -one) == pytest.approx(-1)
    assert metrics.cosine(one * 0, one * 0) == 1
    assert metrics.cosine(one * 0, one) == 0


def repeats(outputs: tuple[Sample, ...], golden: tuple[Sample, ...], scheme: SchemeName) -> Check:
    judged = judge.judged(PLAIN.outputs, golden or outputs, None, is_noise=False)
    return checks.repeats(run(outputs), golden, scheme, Reference((), outputs, PLAIN, judged))


def test_repeats_takes_the_worst_output() -> None:
    golden = rows([1, 0], [0, 1])
    assert repeats(golden, golden, "fp32").verdict == "pass"
    off = repeats(rows([1, 0], [0.2, 1]), golden, "w8a8")
    assert off.verdict == "fail"
    assert off.figure == pytest.approx(1 / math.hypot(1, 0.2))
    none = repeats(golden, (), "fp32")
    assert (none.verdict, none.reason) == ("skipped", "it could not be run where it was built")


def test_an_output_that_says_nothing_any_more_does_not_repeat() -> None:
    golden = rows(*([300 + 3 * math.sin(n)] for n in range(8)))
    check = repeats(rows(*[[300.0]] * 8), golden, "w8a8")
    assert (check.verdict, check.limit, check.unit) == ("fail", 81.25, "%")
    assert check.reason == "R2 0.0 %"
