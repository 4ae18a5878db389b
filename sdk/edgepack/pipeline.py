"""The one flow: a plan becomes bundles."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgepack import bundle, formats, judge, source, template
from edgepack.emulator import host
from edgepack.errors import ExportError
from edgepack.formats import Exported
from edgepack.plan import Omission, Plan, Step, TargetPlan
from edgepack.recipe import FLOATS, Recipe, Scheme
from edgepack.report import Artifact, Check, Figures, Report
from edgepack.source import Source
from edgepack.target import Target

TIME_LIMIT = 1800.0
"""Seconds that a file may take for all samples on the host before it counts as hung."""


class Progress(Protocol):
    """Told what is being done, so that it can be shown."""

    def begin(self, steps: int) -> None:
        """`steps` calls of `step` will follow."""
        ...

    def step(self, doing: str) -> None:
        """A step begins."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def begin(self, steps: int) -> None:
        """Nothing."""

    def step(self, doing: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Written:
    """One export, shared by all targets of one variant."""

    exported: Exported
    seconds: float


@dataclass
class _Shop:
    """What one build has done so far, each piece of it once."""

    source: Source
    folder: Path
    progress: Progress
    written: dict[Path, _Written] = field(default_factory=dict)
    runs: dict[Path, host.Run | host.Death] = field(default_factory=dict)

    @property
    def samples(self) -> Path:
        return self.folder / "samples.npz"


def build(plan: Plan, progress: Progress | None = None) -> list[Report]:
    """Carry out `plan`: one bundle a target, each written whole or not at all.

    Raises the EdgepackErrors of its parts. A failed check is no error: see `Report.passed`.
    """
    progress = progress or Silent()
    progress.begin(1 + len(_exports(plan)) + len(_runs(plan)) + len(plan.targets))
    with bundle.workshop(plan.targets[0].folder.parent) as folder, source.one_thread():
        progress.step(f"load {plan.model}, run it in float")
        shop = _Shop(source.load(plan), folder, progress)
        host.write_samples(shop.source.evaluation.inputs, shop.samples)
        reports = [_build_for(plan, wanted, shop) for wanted in plan.targets]
        for wanted in plan.targets:
            bundle.put(_draft(wanted, shop), wanted.folder)
        return reports


def _exports(plan: Plan) -> set[tuple[str, Scheme, str]]:
    """The exports of a plan, each once: format, scheme, and what of the target changes the file."""
    return {
        (step.format, step.scheme, formats.load(step.format).variant(wanted.target))
        for wanted in plan.targets
        for step in wanted.steps
    }


def _runs(plan: Plan) -> set[tuple[str, Scheme, str]]:
    """Those of them that this host can run."""
    return {each for each in _exports(plan) if not formats.load(each[0]).cannot_run()}


def _build_for(plan: Plan, wanted: TargetPlan, shop: _Shop) -> Report:
    target = wanted.target
    floats_first = sorted(wanted.steps, key=lambda step: step.scheme not in FLOATS)
    for step in floats_first:
        _export(step, target, shop)
    made = {step: _judged(step, wanted, shop) for step in floats_first}
    artifacts = tuple(artifact for step in wanted.steps for artifact in made[step])
    shop.progress.step(f"put {wanted.folder} together")
    return _bundled(plan, wanted, shop, artifacts)


def _place(step: Step, target: Target, shop: _Shop) -> Path:
    """Where a step's model is written; targets of one variant share the place."""
    module = formats.load(step.format)
    words = (step.format, step.scheme, *module.variant(target).replace(",", "").split())
    folder = "-".join(words)
    return shop.folder / folder / f"{shop.source.name}-{step.scheme}{module.SUFFIX}"


def _called(step: Step, target: Target) -> str:
    variant = formats.load(step.format).variant(target)
    return f"{step.format} {step.scheme}" + (f" ({variant})" if variant else "")


def _export(step: Step, target: Target, shop: _Shop) -> None:
    path = _place(step, target, shop)
    if path in shop.written:
        return
    shop.progress.step(f"write {_called(step, target)}")
    path.parent.mkdir()
    begun = time.perf_counter()
    try:
        exported = formats.load(step.format).export(shop.source, Recipe(step.scheme), target, path)
    except ExportError as cause:
        raise ExportError(str(cause), hint=_who_could(step, target, shop)) from cause
    shop.written[path] = _Written(exported, time.perf_counter() - begun)


def _who_could(failed: Step, target: Target, shop: _Shop) -> str:
    """Which of the target's other formats can carry the model: each is tried, in float."""
    able = []
    for choice in target.formats:
        module = formats.load(choice.name)
        if choice.name == failed.format or module.cannot_export():
            continue
        scheme = next(scheme for scheme in choice.schemes if scheme in FLOATS)
        scratch = shop.folder / f"tried-{choice.name}" / f"model{module.SUFFIX}"
        scratch.parent.mkdir()
        try:
            module.export(shop.source, Recipe(scheme), target, scratch)
        except ExportError:
            continue
        able.append(choice.name)
    if not able:
        return f"none of the other formats of {target.name} can carry it either"
    flags = " ".join(f"--format {name}" for name in able)
    return f"tried just now, these formats of {target.name} can carry it: {flags}"


def _float_step(step: Step, wanted: TargetPlan) -> Step | None:
    """The float artifact of the same format, which a step is held against."""
    return next((each for each in wanted.steps if each.format == step.format and each.scheme in FLOATS), None)


def _judged(step: Step, wanted: TargetPlan, shop: _Shop) -> list[Artifact]:
    """The step's artifacts, each run on the host and held against the float model."""
    written = shop.written[_place(step, wanted.target, shop)]
    base = _float_step(step, wanted)
    below = shop.written[_place(base, wanted.target, shop)].exported.models[0] if base else None
    return [_artifact(step, wanted.target, shop, written, path, below) for path in written.exported.models]


def _artifact(
    step: Step, target: Target, shop: _Shop, written: _Written, path: Path, baseline: Path | None
) -> Artifact:
    module = formats.load(step.format)
    found, checks = _figures(step, target, shop, written.exported, path, baseline)
    size = bundle.bytes_of(path)
    description = module.describe(path)
    quantized = step.scheme not in FLOATS
    ratio = size / bundle.bytes_of(baseline) if baseline else 1.0
    idle = (f"{step.scheme} makes this file no smaller than float",) if quantized and ratio >= 1 else ()
    return Artifact(
        file=f"{bundle.MODELS}/{path.name}",
        format=step.format,
        scheme=step.scheme,
        bytes=size,
        bytes_gzip=bundle.gzipped(path),
        size_ratio=ratio,
        export_seconds=written.seconds,
        figures=found,
        checks=(judge.size(size / host.MEGABYTE, target.budget), *checks),
        quantized=description.quantized if quantized else None,
        delegated=description.delegated,
        kept_float=description.kept_float if quantized else (),
        notes=(*written.exported.notes, *idle),
        activation=written.exported.activation,
    )


def _figures(
    step: Step, target: Target, shop: _Shop, exported: Exported, path: Path, baseline: Path | None
) -> tuple[Figures, tuple[Check, ...]]:
    if reason := formats.load(step.format).cannot_run():
        return Figures(), judge.cannot_run(reason)
    if path not in shop.runs:
        if path == exported.models[0]:
            shop.progress.step(f"run {_called(step, target)}")
        other = "" if baseline in (None, path) else str(baseline)
        job = host.Job(step.format, str(path), str(shop.samples), other)
        shop.runs[path] = host.run(job, path.parent / f"run-{path.name}", TIME_LIMIT)
    ended = shop.runs[path]
    if isinstance(ended, host.Death):
        return Figures(), judge.died(ended)
    evaluation = shop.source.evaluation
    reference = judge.activated(shop.source.reference, exported.activation)
    found = judge.figures(ended, reference, evaluation.labels, shop.source.contract)
    return found, judge.checks(ended, found, target.budget, step.scheme)


def _bundled(plan: Plan, wanted: TargetPlan, shop: _Shop, artifacts: tuple[Artifact, ...]) -> Report:
    """Put the bundle of one target together; it takes its place once all are whole."""
    loaded = shop.source
    folder = _draft(wanted, shop)
    models = folder / bundle.MODELS
    models.mkdir(parents=True)
    given = {}
    for step in wanted.steps:
        exported = shop.written[_place(step, wanted.target, shop)].exported
        for path in (*exported.models, *exported.companions):
            _copy(path, models / path.name)
            ended = shop.runs.get(path)
            if isinstance(ended, host.Run):
                given[path.name] = ended.outputs
    bundle.write_golden(folder / bundle.GOLDEN, loaded.evaluation.inputs, loaded.reference, given)
    app, without = _app(wanted, loaded, artifacts, folder)
    report = Report(
        target=wanted.target.name,
        model=plan.model_name,
        contract_from=plan.contract_from,
        evaluated_on=loaded.evaluation.origin,
        calibrated_on=loaded.calib.origin if loaded.calib else "",
        artifacts=artifacts,
        skipped=(*wanted.omitted, *without),
        notes=loaded.notes,
        folder=str(wanted.folder),
        app=app,
    )
    bundle.seal(folder, report, wanted.target, loaded.contract)
    return report


def _draft(wanted: TargetPlan, shop: _Shop) -> Path:
    return shop.folder / f"bundle-{wanted.target.name}"


def _copy(path: Path, goal: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, goal)
    else:
        shutil.copyfile(path, goal)


def _app(
    wanted: TargetPlan, loaded: Source, artifacts: tuple[Artifact, ...], folder: Path
) -> tuple[str, tuple[Omission, ...]]:
    """Render the target's app for its first artifact that passed; the file it uses, or why none."""
    name = wanted.target.template
    if not name:
        return "", ()
    wants = template.load(name).formats
    usable = [each for each in artifacts if each.format in wants and each.verdict == "pass"]
    if not usable:
        return "", (Omission("app", f"no artifact that {name} can run has passed its checks"),)
    chosen = usable[0]
    app = template.App(
        title=f"{loaded.name} on {wanted.target.title}",
        model=chosen.file,
        format=chosen.format,
        threads=wanted.target.threads,
        contract=loaded.contract,
        tolerance=judge.REPEATS[chosen.scheme],
    )
    template.render(name, app, folder / bundle.APP)
    return chosen.file, ()
