"""The result of a build or a check: a row for each file, then what needs attention, one line a reason."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from edgepack.cli.screen import report_details
from edgepack.cli.screen.figures import file_name, measure, metric_title, number, sqnr, task_title
from edgepack.cli.screen.page import FAIL, NOTE, PASS, WARN, Page
from edgepack.cli.screen.tables import Cell, Column
from edgepack.report import Artifact, Check, Pruned, Refusal, Report, Verdict, sentence
from edgepack.scheme import SCHEMES

Key = TypeVar("Key", bound=Hashable)

_STYLES: dict[Verdict, str] = {"pass": PASS, "fail": FAIL, "evaluated": PASS, "skipped": WARN}
_FILES = 2
"""Files that a line names; more are counted."""


def show(page: Page, report: Report, *, verbose: bool = False) -> None:
    """The result for one target; with `verbose`, its details, too."""
    page.heading(report.target, f"{report.model}, {report.evaluated_on}{_float_accuracy(report)}")
    page.table(*_table(report))
    _outputs(page, report)
    if report.pruned:
        page.item("pruned", _pruning(report.pruned))
    _attention(page, report)
    if verbose:
        report_details.show(page, report)
    _conclusion(page, report)
    page.line()


def _float_accuracy(report: Report) -> str:
    """The accuracy of the float model, where it is known."""
    found = next((each.figures for each in report.artifacts), None)
    if found is None or found.accuracy_float is None:
        return ""
    task = next((each.task for each in found.outputs if each.accuracy is not None), "accuracy")
    return f", float {task} {found.accuracy_float:.1f} %"


def _table(report: Report) -> tuple[list[Column], list[list[str | Cell]]]:
    by_class = any(each.figures.agreement is not None for each in report.artifacts)
    columns = [
        Column("file", shortest=16, enough=24),
        Column("scheme"),
        Column("MB", "right"),
        Column("× float", "right"),
        Column(metric_title(report.artifacts), "right"),
        Column(task_title(report.artifacts), "right"),
        Column("SQNR dB", "right", rank=2 if by_class else 0),
        Column("M instr", "right", rank=1),
        Column("instr ×", "right"),
        Column("verdict"),
    ]
    rows = [_row(each) for each in report.artifacts]
    return columns, [*rows, *(_refused(each, len(columns)) for each in report.absent)]


def _refused(refusal: Refusal, width: int) -> list[str | Cell]:
    """The row of a format that has no file."""
    empty: list[str | Cell] = [""] * (width - 3)
    return [f"({refusal.format})", refusal.scheme, *empty, Cell("refused", FAIL)]


def _row(artifact: Artifact) -> list[str | Cell]:
    found = artifact.figures
    return [
        file_name(artifact),
        artifact.scheme,
        f"{artifact.bytes / 1e6:.3f}",
        f"{artifact.size_ratio:.2f}",
        number(found.agreement, ".1f"),
        number(found.accuracy, ".1f"),
        sqnr(found),
        number(found.cost.instructions / 1e6 if found.cost else None, ".2f"),
        number(found.instructions_ratio, ".2f"),
        Cell(artifact.verdict, _STYLES[artifact.verdict]),
    ]


def _outputs(page: Page, report: Report) -> None:
    """The metrics of each output, where files have several."""
    columns = [
        Column("output", shortest=8, enough=16),
        Column("of file", shortest=12, enough=20),
        Column("metric", shortest=16, cut="end"),
        Column(task_title(report.artifacts), "right"),
        Column("SQNR dB", "right"),
    ]
    rows = [
        [
            output.name,
            file_name(each),
            measure(output.metric) if output.metric else "",
            number(output.accuracy, ".1f"),
            sqnr(output),
        ]
        for each in report.artifacts
        if len(each.figures.outputs) > 1
        for output in each.figures.outputs
    ]
    if rows:
        page.line()
        page.table(columns, rows)


def _attention(page: Page, report: Report) -> None:
    """What the user has to know, a line for each reason."""
    for refusal in report.absent:
        page.item("refused", _reason(refusal), FAIL)
    for text in _failures(report):
        page.item("failed", text, FAIL)
    for refusal in report.refusals:
        if refusal not in report.absent:
            page.item("not written", _reason(refusal), WARN)
    for text in _in_float(report):
        page.item("in float", text, WARN)
    for text in _float_layers(report):
        page.item("in float", text)
    for text in _without_gain(report):
        page.item("no gain", text, WARN)
    for reason, names in _grouped((each.why, each.what) for each in report.skipped):
        page.item("skipped", f"{', '.join(names)}: {reason}", WARN)
    for check, files in _checks_of(report, "evaluated"):
        page.item("evaluated", f"{files}: {check.reason}" if files else check.reason)
    for check, files in _checks_of(report, "skipped"):
        page.item("not checked", f"{check.name}{' of ' if files else ''}{files}: {check.reason}", WARN)
    for text in dict.fromkeys((*report.notes, *_notes_of_failed(report))):
        page.item("note", text, NOTE)


def _reason(refusal: Refusal) -> str:
    hint = f" ({refusal.hint})" if refusal.hint else ""
    return f"{refusal.format} {refusal.scheme}: {refusal.why}{hint}"


def _failures(report: Report) -> list[str]:
    failed = (
        (sentence(check), file_name(each))
        for each in report.artifacts
        for check in each.checks
        if check.verdict == "fail"
    )
    return [f"{', '.join(names)}: {text}" for text, names in _grouped(failed)]


def _in_float(report: Report) -> list[str]:
    """The formats whose float file is shipped although smaller ones were tried, with the reason."""
    found = []
    for shipped in {each.format: each for each in reversed(report.artifacts)}.values():
        tried = [each for each in report.tried if each.artifact.format == shipped.format]
        smaller = [each for each in tried if not _is_float(each.artifact)]
        if smaller and SCHEMES[shipped.scheme].is_float:
            found.append(f"{shipped.format} in {shipped.scheme}: {smaller[-1].outcome}")
    return found[::-1]


def _float_layers(report: Report) -> list[str]:
    """How many layers quantized files keep in float, in one line; `--verbose` has the reasons."""
    counts = {
        f"{each.format} {each.scheme}": len(each.float_layers)
        for each in report.artifacts
        if each.float_layers
    }
    if not counts:
        return []
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"single layers of {told}; --verbose and report.json say why"]


def _is_float(artifact: Artifact) -> bool:
    """The recipe is float, too: a file whose recipe is not can be float because nothing was quantized."""
    return SCHEMES[artifact.scheme].is_float and artifact.recipe.is_float


def _without_gain(report: Report) -> list[str]:
    """Quantized files that ship as asked for by hand although they gain nothing, with the reason."""
    outcomes = (
        (each.outcome.partition(": ")[2], file_name(each.artifact))
        for each in report.tried
        if each.artifact in report.artifacts
        and each.artifact.verdict != "fail"
        and not SCHEMES[each.artifact.scheme].is_float
    )
    return [f"{', '.join(names)}: {reason}" for reason, names in _grouped(outcomes) if reason]


def _checks_of(report: Report, verdict: Verdict) -> list[tuple[Check, str]]:
    """The checks with this verdict, one for each reason, and the files that it is true of."""
    checks = [(check, each) for each in report.artifacts for check in each.checks if check.verdict == verdict]
    first = {(check.name, check.reason): check for check, _ in reversed(checks)}
    grouped = _grouped(((check.name, check.reason), file_name(each)) for check, each in checks)
    return [(first[key], _files(names, report)) for key, names in grouped]


def _notes_of_failed(report: Report) -> list[str]:
    failed = [each for each in report.artifacts if each.verdict == "fail"]
    return [f"{file_name(each)}: {note}" for each in failed for note in each.notes]


def _conclusion(page: Page, report: Report) -> None:
    verdicts = [check.verdict for each in report.artifacts for check in each.checks]
    skipped, failed = verdicts.count("skipped"), verdicts.count("fail")
    made = len(verdicts) - skipped
    which = f"a check failed ({failed} of {made}" if failed else f"all checks passed ({made}"
    told = f"{which}; {skipped} skipped)" if skipped else f"{which})"
    if report.absent:
        told = f"{len(report.absent)} of {_formats(report)} formats could not be written; of the rest, {told}"
    page.item("verdict", told, PASS if report.passed else FAIL)
    page.item("bundle", report.folder)
    if report.app:
        page.item("app", f"app/ uses {report.app}")


def _formats(report: Report) -> int:
    """Formats that were to be written."""
    return len({each.format for each in report.artifacts} | {each.format for each in report.absent})


def _grouped(pairs: Iterable[tuple[Key, str]]) -> list[tuple[Key, list[str]]]:
    """Each reason once, with what it is true of."""
    found: dict[Key, list[str]] = {}
    for reason, what in pairs:
        found.setdefault(reason, []).append(what)
    return [(reason, list(dict.fromkeys(names))) for reason, names in found.items()]


def _files(names: list[str], report: Report) -> str:
    """`names` in words; empty where they are all files of the report."""
    if len(names) == len(report.artifacts):
        return ""
    return ", ".join(names) if len(names) <= _FILES else f"{len(names)} files"


def _pruning(pruned: Pruned) -> str:
    """What pruning and fine-tuning did, in words."""
    before, after = pruned.before, pruned.after
    words = [
        f"{pruned.what}: {before.parameters:,} → {after.parameters:,} parameters",
        f"{before.multiply_adds:,} → {after.multiply_adds:,} multiply-adds",
    ]
    if after.nonzero < after.parameters:
        words.append(f"{after.nonzero:,} of them not zero")
    if pruned.agreement is not None:
        words.append(f"agreement in float {pruned.agreement_unrecovered:.1f} %")
    if pruned.recovery_steps:
        words.append(f"after {pruned.recovery_steps} steps of fine-tuning {pruned.agreement:.1f} %")
    return ", ".join(words)
