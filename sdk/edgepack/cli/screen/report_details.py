"""The details of a report, for `--verbose`: host figures, candidates, recipes, devices, delegates, notes."""

from __future__ import annotations

from collections.abc import Mapping

from edgepack.cli.screen import delegation
from edgepack.cli.screen.figures import file_name, measure, metric_title, number, sqnr
from edgepack.cli.screen.page import NOTE, Page
from edgepack.cli.screen.tables import Column
from edgepack.report import Artifact, Check, Report, Tried
from edgepack.scheme import SCHEMES

_LAYERS = 6
"""Layers that a line names before it counts the others."""
_OUTCOME = 12
"""Characters of an outcome that the table shows; longer ones are below it."""
_EQUALIZED = {"exact": "channels equalized", "clamped": "channels equalized, also under clamps"}


def show(page: Page, report: Report) -> None:
    """Everything that needs no attention."""
    _host(page, report)
    _candidates(page, report)
    for text in dict.fromkeys(_recipe(each) for each in report.artifacts):
        if text:
            page.item("recipe", text)
    for text in (line for each in report.artifacts for line in _metrics(each)):
        page.item("metrics", text)
    for text in dict.fromkeys(line for each in report.artifacts for line in _devices(each)):
        page.item("device", text)
    for artifact in report.artifacts:
        if artifact.delegation:
            delegation.show(page, file_name(artifact), artifact.delegation)
    for text in _kept_float(report):
        page.item("float layers", text)
    for text in _float_layers(report):
        page.item("in float", text)
    for text in dict.fromkeys(f"{each.format}: {note}" for each in report.artifacts for note in each.notes):
        page.item("note", text, NOTE)


def _host(page: Page, report: Report) -> None:
    """What files cost on this host, which says little about a device."""
    columns = [
        Column("on this host", shortest=16),
        *(Column(title, "right") for title in ("MB gz", "export s", "load ms", "time × float", "memory MB")),
    ]
    rows = [
        [
            file_name(each),
            f"{each.bytes_gzip / 1e6:.3f}",
            f"{each.export_seconds:.1f}",
            number(None if each.figures.load_seconds is None else 1000 * each.figures.load_seconds, ".1f"),
            number(each.figures.latency_ratio, ".2f"),
            number(each.figures.memory_mb, ".1f"),
        ]
        for each in report.artifacts
    ]
    page.line()
    page.table(columns, rows)


def _candidates(page: Page, report: Report) -> None:
    """Every candidate of the search, and below them what became of them."""
    if len(report.tried) <= len(report.artifacts):
        return
    agree = metric_title(report.artifacts)
    columns = [
        Column("candidate", shortest=16, enough=24),
        Column("scheme"),
        *(Column(title, "right") for title in ("float layers", "MB", agree, "SQNR dB")),
        Column("time × float", "right", rank=1),
        Column("outcome"),
    ]
    page.line()
    long = [text for text in dict.fromkeys(each.outcome for each in report.tried) if len(text) > _OUTCOME]
    marks = {text: f"({number})" for number, text in enumerate(long, 1)}
    page.table(columns, [_candidate(each, marks) for each in report.tried])
    for text, mark in marks.items():
        page.item(mark, text)


def _candidate(tried: Tried, marks: Mapping[str, str]) -> list[str]:
    each = tried.artifact
    return [
        file_name(each),
        each.scheme,
        str(len(each.kept_float) or ""),
        f"{each.bytes / 1e6:.3f}",
        number(each.figures.agreement, ".1f"),
        sqnr(each.figures),
        number(each.figures.latency_ratio, ".2f"),
        marks.get(tried.outcome, tried.outcome),
    ]


def _recipe(artifact: Artifact) -> str:
    """What was done to the model for a file, in words; empty for one that is plain."""
    recipe = artifact.recipe
    words = []
    if SCHEMES[recipe.scheme].has_static_activations:
        words.append(f"activation ranges by {recipe.ranges}")
    if recipe.equalize != "none":
        words.append(_EQUALIZED[recipe.equalize])
    if recipe.gptq:
        words.append("GPTQ")
    if recipe.correct_bias:
        words.append("biases corrected")
    if recipe.layers:
        words.append(", ".join(f"{path} in {scheme}" for path, scheme in recipe.layers.items()))
    return f"{artifact.format} {recipe.scheme}: {'; '.join(words)}" if words else ""


def _metrics(artifact: Artifact) -> list[str]:
    """The metrics of each output, where its kind has more than one."""
    found = []
    for output in artifact.figures.outputs:
        measured = [each for each in (output.metric, *output.more) if each and each.value is not None]
        if output.more and measured:
            texts = ", ".join(measure(each) for each in measured)
            found.append(f"{file_name(artifact)}, output '{output.name}' as {output.kind}: {texts}")
    return found


def _devices(artifact: Artifact) -> list[str]:
    """What ran a file as the device does, and how its outputs compare."""
    checks = {check.name: check for check in artifact.checks if check.verdict == "pass"}
    pairs = [("device runs", "device agrees", "to this host's outputs")]
    pairs += [("android libs run", "android libs agree", "")]
    return [
        f"{file_name(artifact)}: {checks[runs].reason}; {_agreement(checks[agrees], whose)}"
        for runs, agrees, whose in pairs
        if {runs, agrees} <= checks.keys()
    ]


def _agreement(check: Check, whose: str) -> str:
    figure = " ".join(filter(None, (f"{check.figure:.6g} {check.unit}", whose)))
    return f"{figure}, {check.reason}" if check.reason else figure


def _float_layers(report: Report) -> list[str]:
    """The layers of the model that stay in float, by reason, once for the files of one format and scheme."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for artifact in report.artifacts:
        for path, why in artifact.float_layers.items():
            layers = found.setdefault((artifact.format, artifact.scheme, why), [])
            if path not in layers:
                layers.append(path)
    return [f"{name} {scheme}: {', '.join(layers)} ({why})" for (name, scheme, why), layers in found.items()]


def _kept_float(report: Report) -> list[str]:
    """The layers that quantized files keep in float, once for the files of one format and scheme."""
    kept = {
        (each.format, each.scheme, frozenset(each.kept_float)): each.kept_float
        for each in reversed(report.artifacts)
        if each.kept_float
    }
    found = []
    for (name, scheme, _), layers in sorted(kept.items(), key=lambda pair: (*pair[0][:2], pair[1])):
        more = f" and {len(layers) - _LAYERS} more" if len(layers) > _LAYERS else ""
        found.append(f"{name} {scheme}: {', '.join(layers[:_LAYERS])}{more}")
    return found
