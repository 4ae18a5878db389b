"""The report on the screen: what fits, what needs attention, and what `--verbose` adds."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgepack.cli.screen import page, report
from edgepack.cli.screen.page import Page
from edgepack.delegation import Delegate, Delegation
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Check, Cost, Figures, Omission, Refusal, Report, Tried
from edgepack.scheme import SchemeName

RUNS = Check("runs", "pass", None, None, "")
TURNED_OFF = Check("device runs", "skipped", None, None, "", "turned off (--no-emulator)")
NO_RUNTIME = Check("device runs", "skipped", None, None, "", "torchscript has no runtime for ARM")
EVALUATED = Check("runs", "evaluated", None, None, "", "Core ML runs on macOS only; evaluated in torch")
TOO_LARGE = Check("size", "fail", 7.125, 5.0, "MB")
SLOWER = "w8a8 takes no fewer instructions than float"
COST = Cost(14_230_000, 1, 1, 1, 1, 1, 1, 1)


def artifact(format_name: str, ending: str, scheme: SchemeName, *checks: Check) -> Artifact:
    delegate = Delegate("XnnpackBackend", 1, 9, 900, 0.9, 1.0)
    figures = Figures(
        agreement=99.25,
        accuracy_float=91.875,
        accuracy=91.5,
        sqnr_db=35.25,
        cost=COST,
        instructions_ratio=0.5,
    )
    return Artifact(
        file=f"model/mobilenet_v2_with_a_long_name-{scheme}{ending}",
        format=format_name,
        scheme=scheme,
        bytes=3_501_000,
        bytes_gzip=2_900_000,
        size_ratio=0.25,
        export_seconds=1.5,
        figures=figures,
        checks=checks,
        quantized=1.0,
        delegated=0.9,
        kept_float=("stem",) if scheme == "w8a8" else (),
        notes=("the lite interpreter is deprecated",),
        recipe=Recipe(scheme, gptq=True),
        delegation=Delegation(10, 900, (delegate,), ()) if format_name == "executorch" else None,
    )


PTE = artifact("executorch", ".pte", "w8a8", RUNS, TURNED_OFF)
ONNX = artifact("onnx", ".onnx", "fp32", RUNS, TURNED_OFF)
ORT = artifact("onnx", ".ort", "fp32", RUNS, TURNED_OFF)
PTL = artifact("torchscript", ".ptl", "w8a8", RUNS, NO_RUNTIME)
PACKAGE = artifact("coreml", ".mlpackage", "p6", EVALUATED)


def whole(*artifacts: Artifact) -> Report:
    tried = [Tried(each, "shipped") for each in artifacts]
    tried += [Tried(replace(each, scheme="w8a8"), SLOWER) for each in (ONNX, ORT)]
    return Report(
        target="pixel-8",
        model="net.py:net",
        contract_from="",
        evaluated_on="500 samples of a_folder_with_a_long_name/eval.npz",
        calibrated_on="",
        artifacts=artifacts,
        skipped=(Omission("app", "none fits"),),
        notes=("only 2 calibration samples",),
        folder="out/pixel-8",
        tried=tuple(tried),
        app="model/net.pte",
    )


def shown(found: Report, width: int = 100, *, terminal: bool = False, verbose: bool = False) -> list[str]:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    report.show(Page(console), found, verbose=verbose)
    return stream.getvalue().splitlines()


def lines(found: Report, label: str, *, verbose: bool = False) -> list[str]:
    """What stands beside a label."""
    return [
        line[len(label) + 2 :].strip() for line in shown(found, verbose=verbose) if line[2:].startswith(label)
    ]


EVERY = whole(PTE, ONNX, ORT, PTL, PACKAGE, artifact("onnx", ".onnx", "w8d", RUNS, TOO_LARGE))


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("verbose", [False, True])
def test_everything_fits_a_terminal(width: int, verbose: bool) -> None:
    for line in shown(EVERY, width, terminal=True, verbose=verbose):
        assert cell_len(re.sub(r"\x1b\[[\d;]*m", "", line)) <= width, line


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_file_is_a_line_with_its_figures(width: int) -> None:
    rows = [line.split() for line in shown(EVERY, width) if line.startswith("  mob")]
    assert [row[1] for row in rows] == ["w8a8", "fp32", "fp32", "w8a8", "p6", "w8d"]
    assert [row[-1] for row in rows] == ["pass", "pass", "pass", "pass", "evaluated", "fail"]
    for row in rows:
        assert {"3.501", "0.25", "99.2", "91.5", "0.50"} <= set(row)


def test_a_wide_screen_has_more_columns() -> None:
    titles = {width: shown(EVERY, width)[1] for width in (80, 160)}
    assert "M instr" not in titles[80]
    assert "M instr" in titles[160]
    assert "SQNR dB" in titles[160]


def test_without_classes_the_sqnr_is_the_metric() -> None:
    plain = replace(ONNX, figures=Figures(sqnr_db=35.25))
    exact = replace(ONNX, figures=Figures(exact=True))
    header, first, second = shown(whole(plain, exact), 80)[1:4]
    assert "SQNR dB" in header
    assert not {"agree", "acc", "instr"} & set(header.split()), "nothing is known of them"
    assert "35.2" in first
    assert "exact" in second


def test_a_reason_is_told_once() -> None:
    assert lines(EVERY, "not checked") == [
        "device runs of 3 files: turned off (--no-emulator)",
        "device runs of mobilenet_v2_with_a_long_name-w8a8.ptl: torchscript has no runtime for ARM",
    ]
    assert lines(whole(ONNX, ORT), "not checked") == ["device runs: turned off (--no-emulator)"]
    assert lines(EVERY, "evaluated") == [f"mobilenet_v2_with_a_long_name-p6.mlpackage: {EVALUATED.reason}"]


def test_what_needs_attention_is_told() -> None:
    assert lines(EVERY, "failed") == [
        "mobilenet_v2_with_a_long_name-w8d.onnx: size 7.125 MB is over the limit of 5"
    ]
    assert lines(EVERY, "skipped") == ["app: none fits"]
    assert lines(whole(PTE, ONNX, ORT), "in float") == [f"onnx in fp32: {SLOWER}"]
    assert "only 2 calibration samples" in lines(whole(PTE), "note")


def test_the_rest_is_for_verbose() -> None:
    found = whole(PTE, ONNX, ORT)
    for label in ("recipe", "delegated", "float layers", "(1)"):
        assert not lines(found, label)
        assert lines(found, label, verbose=True)
    assert lines(found, "note") == ["only 2 calibration samples"]
    assert "onnx: the lite interpreter is deprecated" in lines(found, "note", verbose=True)
    assert any("memory MB" in line or "MB gz" in line for line in shown(found, verbose=True))
    assert any("candidate" in line for line in shown(found, verbose=True))
    assert lines(found, "(1)", verbose=True) == [SLOWER]


def test_the_notes_of_a_file_that_failed_are_told() -> None:
    found = whole(replace(PTE, checks=(RUNS, TOO_LARGE), notes=("device and host differ at 'conv'",)))
    assert any(text.endswith("device and host differ at 'conv'") for text in lines(found, "note"))


def test_checks_are_counted_those_of_the_evaluator_too() -> None:
    assert lines(whole(PACKAGE, PTE), "verdict") == ["all checks passed (2; 1 skipped)"]
    assert lines(whole(PACKAGE), "verdict") == ["all checks passed (1)"]
    assert lines(EVERY, "verdict") == ["a check failed (1 of 7; 4 skipped)"]
    assert lines(EVERY, "bundle") == ["out/pixel-8"]


def test_a_pipe_has_no_codes_and_sentences_in_one_line() -> None:
    long = replace(TURNED_OFF, reason="word " * 60)
    found = shown(whole(replace(PTE, checks=(RUNS, long))))
    assert not any("\x1b" in line for line in found)
    assert any(line.rstrip().endswith("word word") for line in found)
    assert sum("word" in line for line in found) == 1


def test_on_a_terminal_a_sentence_is_wrapped_beside_its_label() -> None:
    long = replace(TURNED_OFF, reason="word " * 60)
    found = [
        line for line in shown(whole(replace(PTE, checks=(RUNS, long))), terminal=True) if "word" in line
    ]
    assert len(found) > 2
    assert all(line.startswith(" " * 16 + "word") for line in found[1:])


def test_styles_can_be_read_on_dark_and_on_light() -> None:
    styles = " ".join((page.PASS, page.FAIL, page.WARN, page.LABEL, page.NOTE))
    assert not {"white", "yellow", "cyan", "black", "bright"} & set(re.split(r"[\s_]", styles))
    codes = set(re.findall(r"\x1b\[([\d;]*)m", "\n".join(shown(EVERY, terminal=True, verbose=True))))
    assert codes <= {"0", "1", "2", "32", "35", "1;31"}, codes


def test_markup_in_names_is_shown_as_it_is() -> None:
    found = replace(
        whole(replace(ONNX, file="model/[red]x-fp32.onnx")), target="[b]mine[/b]", folder="out/[x]"
    )
    text = "\n".join(shown(found))
    for words in ("[red]x", "[b]mine[/b]", "out/[x]"):
        assert words in text


def test_a_file_that_is_float_because_nothing_was_quantized_says_so() -> None:
    reason = "w8 quantizes nothing in this model"
    found = replace(ONNX, recipe=Recipe("w8"))
    built = replace(whole(found), tried=(Tried(found, f"shipped, as asked for by hand: {reason}"),))
    assert lines(built, "in float") == [f"onnx in fp32: shipped, as asked for by hand: {reason}"]
    assert lines(replace(built, tried=(Tried(ONNX, "shipped"),)), "in float") == []


def test_a_file_that_ships_by_hand_without_a_gain_says_so() -> None:
    reason = "w8a8 makes the file no smaller than float: 1.02 of its bytes"
    built = replace(whole(PTE), tried=(Tried(PTE, f"shipped, as asked for by hand: {reason}"),))
    (line,) = lines(built, "no gain")
    assert line.endswith(reason)
    assert lines(whole(PTE), "no gain") == []


REFUSED = Refusal("coreml", "fp16", "coreml cannot carry operator aten.svd (net.py, line 7)", "omit it")


def test_a_refused_format_is_a_row_and_fails_the_build() -> None:
    found = replace(whole(ONNX), refusals=(REFUSED,))
    assert not found.passed
    assert any(re.search(r"\(coreml\) +fp16 .*refused", line) for line in shown(found))
    assert lines(found, "refused") == [f"coreml fp16: {REFUSED.why} (omit it)"]
    assert lines(found, "verdict") == [
        "1 of 2 formats could not be written; of the rest, all checks passed (1; 1 skipped)"
    ]


def test_a_refused_scheme_of_a_format_that_is_written_is_told() -> None:
    found = replace(whole(ONNX), refusals=(replace(REFUSED, format="onnx", scheme="w8a8", hint=""),))
    assert found.passed
    assert lines(found, "not written") == [f"onnx w8a8: {REFUSED.why}"]
    assert not lines(found, "refused")
