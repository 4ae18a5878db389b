"""The one flow: a plan becomes bundles."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack import bundle, formats, metrics, plot, recipe, toml
from edgepack.app import render, template
from edgepack.compress import pruning_search, ptq, qat
from edgepack.compress import sensitivity as layer_sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import layer_costs
from edgepack.compress.distillation import TrainingBudget
from edgepack.compress.pruning_search import PrunedSource
from edgepack.compress.search import Search, Trial
from edgepack.compress.sensitivity import LayerSensitivity
from edgepack.contract import expected
from edgepack.emulator.job import Death, Job, write_samples
from edgepack.errors import ExportError, PlanError
from edgepack.evaluate import checks as judge
from edgepack.evaluate import device, host
from edgepack.evaluate.device import Device
from edgepack.formats import Exported
from edgepack.model import inference, source
from edgepack.model.source import Source
from edgepack.options import Pruning
from edgepack.plan import Plan, TargetPlan
from edgepack.progress import Progress, Silent
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Check, Figures, Omission, Report, Tried, sentence
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.target import Target

TIME_LIMIT = 1800.0
"""Seconds that a file may take for all samples on the host before it counts as hung."""
_TIE = 1.05
"""Slower than float is a median above this, with three of four paired runs above 1; less is a tie."""
_CALIBRATION_STEPS = 3


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
    no_device: str
    """Why no file is run on an emulated device, as `device.absent` tells it."""
    pruned: dict[Pruning, PrunedSource | None] = field(default_factory=dict)
    calibrations: dict[int, Calibration] = field(default_factory=dict)
    written: dict[str, _Written] = field(default_factory=dict)
    runs: dict[Path, host.Run | Death] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def samples(self) -> Path:
        return self.folder / "samples.npz"

    @property
    def told(self) -> Source:
        """The source as its files answer, which they are judged by."""
        return source.for_export(self.source)

    def calibration(self, loaded: Source) -> Calibration | None:
        """The calibration of a source; None without samples."""
        if loaded.calib is None:
            return None
        return self.calibrations.setdefault(id(loaded), Calibration(loaded, self.progress.step))

    def device(self, target: Target) -> Device:
        """The emulated device of a target."""
        if target.name not in self.devices:
            self.devices[target.name] = Device(
                target=target,
                samples=self.samples,
                inputs=self.source.evaluation.inputs,
                classes=self.source.contract.classifies,
                scratch=self.folder / f"device-{target.name}",
                time_limit=TIME_LIMIT,
                say=self.progress.step,
                absent=self.no_device,
            )
        return self.devices[target.name]

    @property
    def seconds(self) -> dict[str, float]:
        """What took how long, all formats and targets together."""
        found: dict[str, float] = {}
        for each in self.calibrations.values():
            for what, took in each.seconds.items():
                found[what] = found.get(what, 0.0) + took
        for key, written in self.written.items():
            found[f"export {key}"] = written.seconds
        return found


def build(plan: Plan, progress: Progress | None = None) -> list[Report]:
    """Carry out `plan`: one bundle a target, each written whole or not at all.

    Raises the EdgepackErrors of its parts. A failed check is no error: see `Report.passed`.
    """
    progress = progress or Silent()
    progress.begin(_estimate(plan))
    with bundle.workshop(plan.targets[0].folder.parent) as folder, inference.one_thread():
        progress.step(f"load {plan.model}, run it in float")
        loaded = source.load(plan)
        _check_goals(plan, loaded)
        _check_layers(plan, loaded)
        files = [(wanted.target, step.format) for wanted in plan.targets for step in wanted.steps]
        shop = _Shop(loaded, folder, progress, device.absent(files, progress.step, wanted=plan.emulator))
        write_samples(shop.source.evaluation.inputs, shop.samples)
        reports = [_build_for(plan, wanted, shop) for wanted in plan.targets]
        for wanted in plan.targets:
            bundle.put(_draft(wanted, shop), wanted.folder)
        return reports


def _check_goals(plan: Plan, loaded: Source) -> None:
    """Raise PlanError if a goal that needs classes is given for a model without classes."""
    contract = loaded.contract
    for flag, measurable in (
        ("max_drop", contract.classes is not None),
        ("min_agreement", contract.classifies),
    ):
        if not measurable and any(flag in wanted.goal.given for wanted in plan.targets):
            raise PlanError(
                f"--{flag.replace('_', '-')} is judged by classes, and this model has none",
                hint='give labels or kind = "classification" under [output]; else its SQNR is judged alone',
            )


def _check_layers(plan: Plan, loaded: Source) -> None:
    """Raise PlanError where a recipe names a layer that the model has not."""
    known = list(layer_costs(loaded))
    for step in (step for wanted in plan.targets for step in wanted.steps if step.recipe):
        for path in step.recipe.layers if step.recipe else ():
            if not any(each == path or each.startswith(f"{path}.") for each in known):
                raise PlanError(
                    f"the recipe names layer '{path}', which the model has not: {toml.near(path, known)}",
                    hint="`edgepack sensitivity` lists the layers",
                )


def sensitivity(plan: Plan, progress: Progress | None = None) -> tuple[LayerSensitivity, ...]:
    """What int8 costs each layer of the model, in the order in which they run.

    Raises PlanError without calibration samples or where the model has no layer that int8 knows.
    """
    progress = progress or Silent()
    progress.begin(2 + _CALIBRATION_STEPS)
    with inference.one_thread():
        progress.step(f"load {plan.model}, run it in float")
        loaded = source.load(plan)
        if loaded.calib is None:
            raise PlanError("sensitivity is measured on samples: give --calib")
        calibration = Calibration(loaded, progress.step)
        found = {layer.path: layer for layer in layer_sensitivity.analyze(calibration)}
        if not found:
            raise PlanError("the model has no convolution and no linear layer of constant weights")
        return tuple(found[path] for path in layer_costs(loaded))


def _estimate(plan: Plan) -> int:
    """Steps of a build whose first candidates all serve: a search that goes on takes more."""
    tried = set()
    for wanted in plan.targets:
        for name in dict.fromkeys(step.format for step in wanted.steps):
            variant = formats.load(name).variant(wanted.target)
            tried |= {(name, variant, _float_scheme(name, wanted))}
            tried |= {(name, variant, next(step.scheme for step in wanted.steps if step.format == name))}
    runs = [each for each in tried if formats.runs(each[0])]
    calibrated = any(
        SCHEMES[step.scheme].has_static_activations for wanted in plan.targets for step in wanted.steps
    )
    return 1 + len(tried) + len(runs) + len(plan.targets) + (_CALIBRATION_STEPS if calibrated else 0)


def _build_for(plan: Plan, wanted: TargetPlan, shop: _Shop) -> Report:
    chosen: list[Trial] = []
    tried: list[Tried] = []
    for name in dict.fromkeys(step.format for step in wanted.steps):
        search = _search(name, plan, wanted, shop)
        chosen.append(search.run())
        tried += search.tried
    shop.progress.step(f"put {wanted.folder} together")
    return _bundled(plan, wanted, shop, chosen, tried)


def _search(name: str, plan: Plan, wanted: TargetPlan, shop: _Shop) -> Search:
    """The search down one format's ladder."""
    shrunk = _shrunk(name, plan, wanted, shop)
    smaller = shrunk.source if shrunk else shop.source
    minutes, lessons = wanted.goal.search_budget, _lessons(plan, wanted)
    whole = _Attempts(name, wanted, shop, shop.source, lessons, None)
    base = whole(Recipe(_float_scheme(name, wanted)))
    attempts = _Attempts(name, wanted, shop, smaller, lessons, base)
    return Search(
        steps=tuple(step for step in wanted.steps if step.format == name),
        base=base,
        calibration=shop.calibration(smaller),
        attempt=attempts,
        forced=bool(wanted.goal.forced or plan.book),
        keep_best=shrunk is not None and shrunk.by_hand,
        deadline=shop.begun + 60 * minutes if minutes else math.inf,
    )


def _float_scheme(name: str, wanted: TargetPlan) -> SchemeName:
    """The float scheme that the target has for a format."""
    choice = wanted.target.choice(name)
    assert choice is not None
    return next(scheme for scheme in choice.schemes if SCHEMES[scheme].is_float)


@dataclass
class _Attempts:
    """Writes a recipe of one source in one format, runs it and judges it for one target."""

    format: str
    wanted: TargetPlan
    shop: _Shop
    source: Source
    lessons: TrainingBudget
    base: Trial | None
    """The float files, which others are held against; None while they are made."""

    def __call__(self, recipe: Recipe) -> Trial:
        """The candidate as it came out."""
        if self.base and recipe == self.base.recipe and self.source is self.shop.source:
            return self.base
        written = self._written(recipe)
        made = [self._artifact(recipe, written, path) for path in written.exported.models]
        pairs = zip(made, written.exported.models, strict=True)
        artifacts = tuple(self._on_device(each, path, written.exported) for each, path in pairs)
        return Trial(
            recipe, written.exported, artifacts, _missed(artifacts), _idle(artifacts, self._what(recipe))
        )

    def _what(self, recipe: Recipe) -> str:
        """What is to be smaller and faster than the float model; empty for that itself."""
        pruned = "" if self.source is self.shop.source else "pruned "
        return f"{pruned}{recipe.scheme}" if pruned or not recipe.is_float else ""

    def _written(self, recipe: Recipe) -> _Written:
        key = self._key(recipe)
        if key not in self.shop.written:
            calibration = self.shop.calibration(self.source)
            ready = ptq.prepare(calibration, recipe) if calibration else self.source
            ready, learnt = self._taught(ready, recipe)
            self.shop.progress.step(f"write {self._called(recipe)}")
            self.shop.written[key] = self._exported(ready, recipe, learnt)
        return self.shop.written[key]

    def _key(self, recipe: Recipe) -> str:
        """What tells an export from all others of this build: targets of one variant share it."""
        pruned = "" if self.source is self.shop.source else f", pruned source {id(self.source)}"
        return f"{self._called(recipe)}{pruned}" + (f" {recipe}" if _details(recipe) else "")

    def _called(self, recipe: Recipe) -> str:
        variant = formats.load(self.format).variant(self.wanted.target)
        floats = sum(SCHEMES[scheme].is_float for scheme in recipe.layers.values())
        mixed = f", {floats} layers in float" if floats and not recipe.is_float else ""
        return f"{self.format} {recipe.scheme}" + (f" ({variant})" if variant else "") + mixed

    def _taught(self, ready: Source, recipe: Recipe) -> tuple[Source, tuple[str, ...]]:
        """A source whose few-bit weights have learnt; itself where nothing is to be learnt."""
        if (
            not SCHEMES[recipe.scheme].has_few_values
            or not self.lessons.is_given
            or self.source is not self.shop.source
        ):
            return ready, ()
        self.shop.progress.step(f"quantization-aware training of {recipe.scheme}, {self.lessons}")
        return qat.train(ready, recipe, self.lessons, formats.load(self.format).weight_storage())

    def _exported(self, ready: Source, recipe: Recipe, learnt: tuple[str, ...]) -> _Written:
        number = len(self.shop.written)
        module = formats.load(self.format)
        path = self.shop.folder / f"{number}" / f"{ready.name}-{recipe.scheme}{module.suffix}"
        path.parent.mkdir()
        begun = time.perf_counter()
        try:
            exported = module.export(source.for_export(ready), recipe, self.wanted.target, path)
        except ExportError as cause:
            raise ExportError(str(cause), hint=self._who_could()) from cause
        exported = replace(exported, notes=(*exported.notes, *learnt))
        return _Written(exported, time.perf_counter() - begun)

    def _who_could(self) -> str:
        """Which of the target's other formats can carry the model: each is tried, in float."""
        target = self.wanted.target
        able = []
        for choice in target.formats:
            module = formats.load(choice.name)
            if choice.name == self.format or module.availability().export:
                continue
            scheme = next(scheme for scheme in choice.schemes if SCHEMES[scheme].is_float)
            scratch = self.shop.folder / f"tried-{choice.name}" / f"model{module.suffix}"
            scratch.parent.mkdir()
            try:
                module.export(self.shop.told, Recipe(scheme), target, scratch)
            except ExportError:
                continue
            able.append(choice.name)
        if not able:
            return f"none of the other formats of {target.name} can carry it either"
        flags = " ".join(f"--format {name}" for name in able)
        return f"tried just now, these formats of {target.name} can carry it: {flags}"

    def _artifact(self, recipe: Recipe, written: _Written, path: Path) -> Artifact:
        module = formats.load(self.format)
        baseline = self._baseline()
        found, checks = self._figures(recipe, written.exported, path, baseline)
        size = bundle.bytes_of(path)
        within = judge.size(size / host.MEGABYTE, self.wanted.target.budget)
        description = module.describe(path)
        quantized = not recipe.is_float
        return Artifact(
            file=f"{bundle.MODELS}/{path.name}",
            format=self.format,
            scheme=recipe.scheme,
            bytes=size,
            bytes_gzip=bundle.gzipped(path),
            size_ratio=size / bundle.bytes_of(baseline) if baseline else self._within_base(written, path),
            export_seconds=written.seconds,
            figures=found,
            checks=(within, *self._delegated(written.exported), *checks),
            quantized=description.quantized if quantized else None,
            delegated=description.delegated,
            kept_float=description.kept_float if quantized else (),
            notes=written.exported.notes,
            recipe=recipe,
            activation=written.exported.activation,
            delegation=written.exported.delegation,
        )

    def _delegated(self, exported: Exported) -> tuple[Check, ...]:
        """The check of what delegates were given, where the target asks for one."""
        least = formats.load(self.format).min_delegated(self.wanted.target)
        if least is None or exported.delegation is None:
            return ()
        return (judge.delegated(exported.delegation, least),)

    def _on_device(self, artifact: Artifact, path: Path, exported: Exported) -> Artifact:
        """The artifact with what it did on the target's emulated device."""
        here, loaded, base = self.shop.runs.get(path), self.shop.told, self._baseline()
        if not isinstance(here, host.Run):
            return artifact
        reference = metrics.activated(loaded.reference, exported.activation)
        first = exported.models[0]
        other = base or (first if path != first else None)
        return self.shop.device(self.wanted.target).judged(artifact, path, here.outputs, reference, other)

    def _within_base(self, written: _Written, path: Path) -> float:
        return bundle.bytes_of(path) / bundle.bytes_of(written.exported.models[0])

    def _baseline(self) -> Path | None:
        """The float model file of this format; None while it is itself made."""
        return self.base.exported.models[0] if self.base else None

    def _figures(
        self, recipe: Recipe, exported: Exported, path: Path, baseline: Path | None
    ) -> tuple[Figures, tuple[Check, ...]]:
        shop, wanted = self.shop, self.wanted
        availability = formats.load(self.format).availability(path)
        reason, instead = availability.run, availability.evaluator
        if reason and not instead:
            return Figures(), judge.cannot_run(reason)
        if path not in shop.runs:
            first = path == exported.models[0]
            if first:
                shop.progress.step(f"run {self._called(recipe)}")
            float_file = baseline or (None if first else exported.models[0])
            timed = "" if instead else str(float_file or "")
            job = Job(self.format, str(path), str(shop.samples), timed)
            shop.runs[path] = host.run(job, path.parent / f"run-{path.name}", TIME_LIMIT)
        ended = shop.runs[path]
        if isinstance(ended, Death):
            return Figures(), judge.died(ended)
        told = shop.told
        reference = metrics.activated(told.reference, exported.activation)
        found = judge.figures(ended, reference, told.evaluation.labels, told.contract)
        if not exported.timed:
            found = replace(found, latency_ratio=None, latency_spread=None)
        budget, pruned = wanted.target.budget, self.source is not shop.source
        checks = judge.checks(ended, found, budget, wanted.goal, recipe.scheme, pruned=pruned)
        if not instead:
            return found, checks
        found = replace(found, load_seconds=None, memory_mb=None)
        return found, judge.evaluated(checks, f"{reason}; {instead}")


def _details(recipe: Recipe) -> bool:
    return recipe != Recipe(recipe.scheme)


def _missed(artifacts: tuple[Artifact, ...]) -> str:
    """What of the goal the files miss, in words; empty where they meet it."""
    failed = [
        (each, check)
        for each in artifacts
        for check in each.checks
        if check.verdict == "fail" and check.name in judge.QUALITY
    ]
    return "; ".join(dict.fromkeys(sentence(check) for _, check in failed))


def _idle(artifacts: tuple[Artifact, ...], what: str) -> str:
    """Why `what` does not pay: a file no smaller than float, or slower in the same runtime.

    Slower is told by the instructions on the target's emulated device, else by this host's processor time.
    """
    main = artifacts[0]
    spread = main.figures.latency_spread
    if not what:
        return ""
    if main.size_ratio >= 1:
        return f"{what} makes the file no smaller than float: {main.size_ratio:.2f} of its bytes"
    counted = main.figures.instructions_ratio
    if counted is not None:
        many = f"{what} takes no fewer instructions than float on the emulated device: {counted:.2f}"
        return f"{many} of their number" if counted >= 1 else ""
    ratio = main.figures.latency_ratio
    if ratio and spread and ratio > _TIE and spread[0] > 1:
        return (
            f"{what} is slower than float in the same runtime: "
            f"{ratio:.2f} of its time ({spread[0]:.2f} to {spread[1]:.2f})"
        )
    return ""


def _lessons(plan: Plan, wanted: TargetPlan) -> TrainingBudget:
    if plan.book:
        return TrainingBudget(0.0, plan.book.recover_steps or None, plan.book.seed)
    return TrainingBudget(wanted.goal.recover or 0.0, None, wanted.goal.seed or 0)


def _shrunk(name: str, plan: Plan, wanted: TargetPlan, shop: _Shop) -> PrunedSource | None:
    """The pruned source for a format; None where nothing is pruned, or the format gains nothing."""
    pruning = plan.pruning(wanted)
    if pruning is None or formats.load(name).no_gain(pruning.kind, wanted.target):
        return None
    if pruning not in shop.pruned:
        lessons = _lessons(plan, wanted)
        shop.pruned[pruning] = pruning_search.prune(
            shop.source, pruning, wanted.goal, lessons, shop.progress.step
        )
    return shop.pruned[pruning]


def _bundled(plan: Plan, wanted: TargetPlan, shop: _Shop, chosen: list[Trial], tried: list[Tried]) -> Report:
    """Put the bundle of one target together; it takes its place once all are whole."""
    loaded = shop.told
    folder = _draft(wanted, shop)
    models = folder / bundle.MODELS
    models.mkdir(parents=True)
    given = {}
    for trial in chosen:
        for path in (*trial.exported.models, *trial.exported.companions):
            _copy(path, models / path.name)
            ended = shop.runs.get(path)
            if isinstance(ended, host.Run):
                given[path.name] = ended.outputs
    artifacts = tuple(each for trial in chosen for each in trial.artifacts)
    bundle.write_golden(folder / bundle.GOLDEN, loaded.evaluation.inputs, loaded.reference, given)
    if loaded.contract.image:
        bundle.write_golden_picture(folder / bundle.GOLDEN, loaded.contract.image)
    _write_expected(folder, loaded)
    rendered, without = _app(wanted, loaded, artifacts, folder)
    shrunk = next(iter(shop.pruned.values()), None)
    report = Report(
        target=wanted.target.name,
        model=plan.model_name,
        contract_from=plan.contract_from,
        evaluated_on=loaded.evaluation.origin,
        calibrated_on=loaded.calib.origin if loaded.calib else "",
        artifacts=artifacts,
        skipped=(*wanted.omitted, *without),
        notes=(*loaded.notes, *(shrunk.notes if shrunk else ())),
        folder=str(wanted.folder),
        tried=tuple(tried),
        goal=wanted.goal.model_dump(mode="json"),
        fingerprint=loaded.calib.fingerprint if loaded.calib else "",
        pruned=shrunk.report if shrunk else None,
        seconds=shop.seconds,
        app=rendered,
    )
    _write_recipes(folder, chosen, shrunk, wanted.goal.seed or 0)
    plot.pareto(report, folder / bundle.PARETO)
    bundle.seal(folder, report, wanted.target, loaded.contract)
    return report


def _write_expected(folder: Path, loaded: Source) -> None:
    """What an app's monitoring is held against."""
    seen = loaded.calib or loaded.evaluation
    found = expected.of(loaded.contract, seen, loaded.evaluation, loaded.reference)
    (folder / bundle.EXPECTED).write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_recipes(folder: Path, chosen: list[Trial], shrunk: PrunedSource | None, seed: int) -> None:
    """The recipes of what is shipped, as `--recipe` takes them back."""
    recipes = {trial.artifacts[0].format: trial.recipe for trial in chosen}
    what, steps = (shrunk.report.what, shrunk.report.recovery_steps) if shrunk else ("", 0)
    (folder / bundle.RECIPE).write_text(recipe.to_toml(recipes, what, steps, seed), encoding="utf-8")


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
    """Render the target's app for its first artifact that it can run; the file it uses, or why none."""
    name = wanted.target.template
    if not name:
        return "", ()
    chosen = render.usable(template.load(name), artifacts)
    if chosen is None:
        return "", (Omission("app", f"each artifact that {name} can run has failed a check"),)
    choice = render.Choice(template=name)
    render.write(folder, folder / bundle.APP, chosen, wanted.target, loaded.contract, choice)
    return chosen.file, ()
