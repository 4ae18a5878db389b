"""The report: what was built, what stayed in float and why, and how each artifact fared."""

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
    """One measured figure against a limit."""

    name: str
    verdict: Verdict
    figure: float | None
    limit: float | None
    unit: str
    reason: str = ""
    """Why it was skipped, what ran in the place of the runtime, or what went wrong without a figure."""


def sentence(check: Check) -> str:
    """A check that failed, in words."""
    if check.figure is None or check.limit is None:
        return f"{check.name}: {check.reason}"
    relation = "over" if check.figure > check.limit else "under"
    why = f" ({check.reason})" if check.reason else ""
    return f"{check.name} {check.figure:.4g} {check.unit} is {relation} the limit of {check.limit:g}{why}"


@dataclass(frozen=True)
class Cost:
    """What one inference takes on the emulated device: the median of the counted ones.

    Instructions are not cycles: a core's caches, clock and pipelines are not emulated.
    """

    instructions: int
    simd: int
    """Of those: Advanced SIMD on vectors; scalar floats are not among them."""
    dot: int
    """Of those: products of int8 vectors or matrices (SDOT, UDOT, USDOT, SUDOT, SMMLA, UMMLA, USMMLA)."""
    memory: int
    """Loads and stores, of vectors too."""
    branch: int
    pages: int
    """Pages of 4 KiB that its loads and stores touch: data, not code."""
    bytes_read: int
    """What its loads ask for, each time they do; a core's caches answer most of it."""
    bytes_written: int
    spread: float = 0.0
    """Most less least instructions of the counted inferences, over the least."""


@dataclass(frozen=True)
class Figures:
    """How an artifact compares with the float model; None where it was not measured."""

    agreement: float | None = None
    """Samples, in percent, on which the top answer is the float model's."""
    accuracy_float: float | None = None
    """The float model's top-1 accuracy in percent, where the samples have labels."""
    accuracy: float | None = None
    """This artifact's, on the same samples."""
    sqnr_db: float | None = None
    """10 log10 of the float outputs' energy over the difference's; None where they are equal."""
    exact: bool = False
    """Every output is the float model's to the bit."""
    scored: bool = True
    """False where the one output is a class's number, of which there is no SQNR."""
    latency_ratio: float | None = None
    """Time of an inference against the format's float artifact in the same runtime, one thread."""
    latency_spread: tuple[float, float] | None = None
    load_seconds: float | None = None
    memory_mb: float | None = None
    """Most memory above the bare runtime's, 10^6 bytes."""
    cost: Cost | None = None
    """What an inference takes on the emulated device."""
    instructions_ratio: float | None = None
    """Its instructions against those of the format's float file, on the same device."""


@dataclass(frozen=True)
class Artifact:
    """One written model file or folder, and how it fared."""

    file: str
    """Path in the bundle."""
    format: str
    scheme: SchemeName
    bytes: int
    bytes_gzip: int
    size_ratio: float
    """Bytes against the format's float artifact."""
    export_seconds: float
    """Time of the export that wrote it (and files beside it)."""
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
    activation: str = "none"
    """What the file itself applies to its first output, so that the app must not."""
    delegation: Delegation | None = None
    """Which of the model's operators delegates were given; None where the format has none."""

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
    """A candidate of the search: what was written and judged, and what became of it."""

    artifact: Artifact
    outcome: str


@dataclass(frozen=True)
class Counts:
    """What a float model holds and computes."""

    parameters: int
    nonzero: int
    """Those of them that are not exactly zero."""
    multiply_adds: int
    """Of one sample: convolutions and matrix products, all weights counted as non-zero."""


@dataclass(frozen=True)
class Pruned:
    """What pruning and recovery did."""

    what: str
    """As `--prune` takes it, the share settled."""
    before: Counts
    after: Counts
    channels: Mapping[str, tuple[int, int]]
    """Output channels of each layer that lost some: before and after."""
    recovery_steps: int = 0
    recovery_seconds: float = 0.0
    agreement: float | None = None
    """With the float model on the evaluation samples, in torch, after recovery, in percent."""
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
    """Where the bundle is; not written into the bundle itself."""
    tried: tuple[Tried, ...] = ()
    """Every candidate that was written, in the order in which they were judged."""
    goal: Mapping[str, Any] = field(default_factory=dict)
    """What was asked of compression, settled."""
    fingerprint: str = ""
    """sha256 of the calibration samples as the model took them; empty without."""
    pruned: Pruned | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What took how long in this build, shared work told once for all targets."""
    app: str = ""
    """The model file that the app uses; empty where there is no app."""
    schema_number: int = SCHEMA

    @property
    def passed(self) -> bool:
        """No check failed."""
        return all(artifact.verdict != "fail" for artifact in self.artifacts)


_ADAPTER = TypeAdapter(Report)


def _plain(report: Report) -> dict[str, Any]:
    """A report as JSON has it: what it holds, with the verdicts that follow from it."""
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
