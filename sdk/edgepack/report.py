"""The report of a build: its artifacts, their metrics and checks, and what was left out and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from edgepack.delegation import Delegation
from edgepack.recipe import Recipe
from edgepack.scheme import SchemeName

SCHEMA = 2

Verdict = Literal["pass", "fail", "evaluated", "skipped"]
"""`evaluated`: the file was run by an evaluator in the place of its runtime. `skipped`: nothing was run."""


@dataclass(frozen=True)
class Check:
    """One measured value against a limit."""

    name: str
    verdict: Verdict
    figure: float | None
    limit: float | None
    unit: str
    reason: str = ""
    """Why it was skipped, what ran in the place of the runtime, or what went wrong without a figure."""
    output: str = ""
    """The output that was judged, where the model has several."""


def sentence(check: Check) -> str:
    """A check that failed, in words."""
    name = f"{check.name} of output '{check.output}'" if check.output else check.name
    if check.figure is None or check.limit is None:
        return f"{name}: {check.reason}"
    relation = "over" if check.figure > check.limit else "under"
    why = f" ({check.reason})" if check.reason else ""
    figure = f"{check.figure:.4g} {check.unit}".rstrip()
    return f"{name} {figure} is {relation} the limit of {check.limit:g}{why}"


@dataclass(frozen=True)
class Cost:
    """What one inference takes on the emulated device: the least of the counted ones.

    Instructions are not cycles: a core's caches, clock and pipelines are not emulated.
    """

    instructions: int
    simd: int
    """Advanced SIMD instructions on vectors among them; scalar floats do not count."""
    dot: int
    """Products of int8 vectors or matrices among them (SDOT, UDOT, USDOT, SUDOT, SMMLA, UMMLA, USMMLA)."""
    memory: int
    """Loads and stores, of vectors too."""
    branch: int
    pages: int
    """Pages of 4 KiB that its loads and stores touch: data, not code."""
    bytes_read: int
    """Bytes of all loads; a core's caches serve most of them."""
    bytes_written: int
    spread: float = 0.0
    """Range of the counted inferences' instructions over their minimum."""


@dataclass(frozen=True)
class Measure:
    """One metric of an output, compared with the float model's."""

    name: str
    value: float | None
    """None where it could not be measured."""
    unit: str
    limit: float | None
    """The kind's own limit; None where it has none, and a first metric the target's `min_agreement`."""
    bound: Literal["least", "most"]
    """Whether the limit is the least or the largest value that passes."""
    title: str
    """Title of its column on the screen."""


@dataclass(frozen=True)
class OutputFigures:
    """The metrics of one output, or of boxes and their scores, by its kind."""

    name: str
    """The output's name; empty for that of a report without figures of outputs."""
    kind: str
    """The kind by which it is judged: that of the contract, or what an undeclared output turned out to be."""
    metric: Measure | None
    """The kind's own metric, in percent; None where SQNR alone is measured."""
    more: tuple[Measure, ...] = ()
    """The kind's further metrics."""
    task: str = "accuracy"
    """What `accuracy_float` and `accuracy` measure."""
    accuracy_float: float | None = None
    accuracy: float | None = None
    sqnr_db: float | None = None
    exact: bool = False
    scored: bool = True
    reason: str = ""
    """Why the metric has no value."""


@dataclass(frozen=True)
class Figures:
    """Metrics of an artifact against the float model; None where one was not measured."""

    agreement: float | None = None
    """Agreement with the float model in percent, in the metric of the output's kind: for classes, the share
    of samples with the same top-1 class. Of several outputs, the lowest."""
    accuracy_float: float | None = None
    """The float model's accuracy in percent, in the task metric of the output's kind, where the samples have
    labels."""
    accuracy: float | None = None
    """This artifact's accuracy on the same samples."""
    sqnr_db: float | None = None
    """Signal to quantization noise in dB: 10 log10 of the float outputs' energy over the difference's; None
    where they are equal. Of several outputs, the lowest."""
    exact: bool = False
    """Every output equals the float model's bit by bit."""
    scored: bool = True
    """False where no output has values, such as a class index, which has no SQNR."""
    outputs: tuple[OutputFigures, ...] = ()
    """The metrics of each output."""
    latency_ratio: float | None = None
    """Host time of an inference over the float artifact's, same runtime, one thread. It decides nothing."""
    latency_spread: tuple[float, float] | None = None
    load_seconds: float | None = None
    memory_mb: float | None = None
    """Peak memory above the bare runtime's, 10^6 bytes."""
    cost: Cost | None = None
    """Cost of an inference on the emulated device."""
    instructions_ratio: float | None = None
    """Instructions over those of the format's float file on the same emulated device."""

    @property
    def by_output(self) -> tuple[OutputFigures, ...]:
        """The metrics of each output; of a report that has none, one output with the figures of all."""
        if self.outputs:
            return self.outputs
        metric = Measure("agreement", self.agreement, "%", None, "least", "agree")
        whole = OutputFigures(
            "",
            "",
            None if self.agreement is None else metric,
            accuracy_float=self.accuracy_float,
            accuracy=self.accuracy,
            sqnr_db=self.sqnr_db,
            exact=self.exact,
            scored=self.scored,
        )
        return (whole,)


@dataclass(frozen=True)
class Artifact:
    """One model file or package, with its metrics and checks."""

    file: str
    """Path inside the bundle."""
    format: str
    scheme: SchemeName
    bytes: int
    bytes_gzip: int
    size_ratio: float
    """Bytes over the format's float artifact's."""
    export_seconds: float
    """Time of the export that wrote it and its companions."""
    figures: Figures
    checks: tuple[Check, ...]
    quantized: float | None
    """Share, 0..1, of the operators with weights that are quantized."""
    delegated: float | None
    """Share, 0..1, of the operators of the written file that a delegate runs."""
    kept_float: tuple[str, ...]
    """Operators with weights that a quantized artifact keeps in float."""
    notes: tuple[str, ...]
    recipe: Recipe
    float_layers: Mapping[str, str] = field(default_factory=dict)
    """Layers of the model that a quantized artifact keeps in float, by module path, each with the reason."""
    activation: str = "none"
    """The activation that the file applies to its first output, so that the app must not."""
    delegation: Delegation | None = None
    """The operators that delegates run; None where the format has no delegates."""

    @property
    def verdict(self) -> Verdict:
        """`fail` where a check failed; else `pass` where the file's own runtime ran it, `evaluated` where an
        evaluator did, `skipped` where nothing did."""
        if any(check.verdict == "fail" for check in self.checks):
            return "fail"
        return next((check.verdict for check in self.checks if check.name == "runs"), "skipped")


@dataclass(frozen=True)
class Omission:
    """What will not be done, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Tried:
    """An artifact of a candidate of the search, and the outcome."""

    artifact: Artifact
    outcome: str


@dataclass(frozen=True)
class Refusal:
    """A scheme of a format that could not be written: the exporter refused the model, or failed."""

    format: str
    scheme: SchemeName
    why: str
    hint: str = ""
    """What the user can do; empty where nothing is known."""


@dataclass(frozen=True)
class Counts:
    """Size and work of a float model."""

    parameters: int
    nonzero: int
    """Parameters that are not exactly zero."""
    multiply_adds: int
    """Of one sample, in convolutions and matrix products; zeros count as weights."""


@dataclass(frozen=True)
class Pruned:
    """What pruning and fine-tuning did."""

    what: str
    """The value of `--prune`, with the ratio resolved."""
    before: Counts
    after: Counts
    channels: Mapping[str, tuple[int, int]]
    """Output channels, before and after, of each layer that lost some."""
    recovery_steps: int = 0
    recovery_seconds: float = 0.0
    agreement: float | None = None
    """Percent of evaluation samples with the float model's top-1 class, in torch, after fine-tuning."""
    agreement_unrecovered: float | None = None


@dataclass(frozen=True)
class Report:
    """What was done for one target."""

    target: str
    model: str
    contract_from: str
    evaluated_on: str
    calibrated_on: str
    artifacts: tuple[Artifact, ...]
    skipped: tuple[Omission, ...]
    notes: tuple[str, ...]
    folder: str
    """Path of the bundle; not written into the bundle itself."""
    tried: tuple[Tried, ...] = ()
    """Every candidate, in the order of evaluation."""
    refusals: tuple[Refusal, ...] = ()
    """Candidates that could not be written, in the order of the search."""
    goal: Mapping[str, Any] = field(default_factory=dict)
    """The resolved compression options."""
    fingerprint: str = ""
    """sha256 of the calibration samples as the model reads them; empty without samples."""
    pruned: Pruned | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each kind of work in this build; targets share it."""
    app: str = ""
    """The model file that the app uses; empty where there is no app."""
    schema_number: int = SCHEMA

    @property
    def passed(self) -> bool:
        """No check failed, and each format that was to be written was."""
        return not self.absent and all(artifact.verdict != "fail" for artifact in self.artifacts)

    @property
    def absent(self) -> tuple[Refusal, ...]:
        """The refusals of formats of which there is no file."""
        written = {artifact.format for artifact in self.artifacts}
        return tuple(refusal for refusal in self.refusals if refusal.format not in written)


_ADAPTER = TypeAdapter(Report)


def _plain(report: Report) -> dict[str, Any]:
    """A report as plain values for JSON, with its verdicts."""
    plain: dict[str, Any] = _ADAPTER.dump_python(report, mode="json")
    for entry, artifact in zip(plain["artifacts"], report.artifacts):
        entry["verdict"] = artifact.verdict
    return {**plain, "passed": report.passed}


def to_json(report: Report) -> str:
    """The report as one JSON document; the same report gives the same bytes."""
    return json.dumps(_plain(report), indent=2, ensure_ascii=False) + "\n"


def all_to_json(reports: list[Report]) -> str:
    """Reports of several targets as one JSON document, each with its verdicts."""
    return json.dumps([_plain(report) for report in reports], indent=2, ensure_ascii=False)


def from_json(text: str) -> Report:
    """The report that `to_json` wrote. Raises pydantic.ValidationError where it is not one."""
    return _ADAPTER.validate_json(text)
