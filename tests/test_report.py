"""Reports: verdicts follow from checks, and JSON brings a report back whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from edgepack import report
from edgepack.cli.screen import Screen
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Check, Figures, Omission, Report, Verdict

RUNS = Check("runs", "pass", None, None, "")
EVALUATED = Check("runs", "evaluated", None, None, "", "Core ML runs on macOS only; evaluated in torch")


def artifact(*checks: Check) -> Artifact:
    return Artifact(
        file="model/net-w8a8.onnx",
        format="onnx",
        scheme="w8a8",
        bytes=1000,
        bytes_gzip=500,
        size_ratio=0.25,
        export_seconds=1.5,
        figures=Figures(agreement=99.5, sqnr_db=31.25, latency_spread=(0.5, 0.75)),
        checks=checks,
        quantized=1.0,
        delegated=None,
        kept_float=('head "☃"',),
        notes=("a\nnote",),
        recipe=Recipe("w8a8", {"stem": "fp32"}, ranges="percentile", equalize="exact", correct_bias=True),
    )


def whole(*artifacts: Artifact) -> Report:
    return Report(
        target="raspberry-pi-5",
        model="net.py:net",
        contract_from="--input",
        evaluated_on="8 samples",
        calibrated_on="",
        artifacts=artifacts,
        skipped=(Omission("app", "none fits"),),
        notes=(),
        folder="out/raspberry-pi-5",
    )


def size(verdict: Verdict) -> Check:
    return Check("size", verdict, 3.0, 2.0, "MB")


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((RUNS, size("pass")), "pass"),
        ((RUNS, size("fail")), "fail"),
        ((RUNS, size("skipped")), "pass"),
        ((size("pass"), Check("runs", "skipped", None, None, "", "no macOS")), "skipped"),
        ((size("fail"), Check("runs", "skipped", None, None, "", "no macOS")), "fail"),
        ((EVALUATED, size("pass")), "evaluated"),
        ((EVALUATED, size("fail")), "fail"),
        ((EVALUATED, Check("repeats", "skipped", None, None, "", "no golden outputs")), "evaluated"),
        ((Check("runs", "fail", None, None, "", "SIGSEGV"),), "fail"),
        ((size("pass"),), "skipped"),
    ],
)
def test_verdict_of_an_artifact(checks: tuple[Check, ...], verdict: str) -> None:
    assert artifact(*checks).verdict == verdict


def test_a_report_passes_where_nothing_failed() -> None:
    skipped = artifact(Check("runs", "skipped", None, None, "", "no macOS"))
    assert whole(artifact(RUNS), artifact(EVALUATED), skipped).passed
    assert not whole(artifact(RUNS), artifact(size("fail"))).passed


def test_json_brings_it_back_and_is_the_same_each_time() -> None:
    made = whole(artifact(RUNS, size("fail")), artifact(RUNS))
    text = report.to_json(made)
    assert report.from_json(text) == made
    assert report.to_json(report.from_json(text)) == text
    assert json.loads(text)["artifacts"][0]["figures"]["latency_spread"] == [0.5, 0.75]


def test_several_reports_are_one_document() -> None:
    made = [whole(artifact(RUNS)), whole(artifact(size("fail")))]
    assert [each["target"] for each in json.loads(report.all_to_json(made))] == ["raspberry-pi-5"] * 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"target": 3}'])
def test_what_is_no_report(text: str) -> None:
    with pytest.raises(ValidationError):
        report.from_json(text)


def test_json_tells_the_verdicts_that_follow_from_the_checks() -> None:
    failed = Check("agreement", "fail", 90.0, 95.0, "%")
    ran = Check("runs", "pass", None, None, "")
    artifacts = tuple(
        Artifact(
            file=f"model/{n}.onnx",
            format="onnx",
            scheme="w8a8",
            bytes=1,
            bytes_gzip=1,
            size_ratio=1.0,
            export_seconds=0.0,
            figures=Figures(),
            checks=checks,
            quantized=None,
            delegated=None,
            kept_float=(),
            notes=(),
            recipe=Recipe("w8a8"),
        )
        for n, checks in enumerate(((ran,), (ran, failed), (EVALUATED,), ()))
    )
    whole = Report("t", "m", "", "", "", artifacts, (), (), "")
    (told,) = json.loads(report.all_to_json([whole]))
    assert [each["verdict"] for each in told["artifacts"]] == ["pass", "fail", "evaluated", "skipped"]
    assert told["passed"] is False
    assert report.from_json(report.to_json(whole)) == whole


def test_layers_in_float_are_told_once_a_format(capfd: pytest.CaptureFixture[str]) -> None:
    first = replace(artifact(RUNS), kept_float=("stem", "head"))
    ort = replace(first, file="model/net-w8a8.ort", kept_float=("head", "stem"))
    with Screen(debug=False) as screen:
        screen.report(whole(first, ort), verbose=True)
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    told = [each for each in lines if each.startswith("float layers")]
    assert told == ["float layers onnx w8a8: stem, head"]
