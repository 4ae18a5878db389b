"""Candidates of a build: a recipe is prepared, exported, evaluated, and described for the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch.fx import GraphModule

from edgepack import bundle, formats
from edgepack.compress import pruning_search, ptq, qat
from edgepack.compress.calibration import Calibration
from edgepack.compress.distillation import TrainingBudget
from edgepack.compress.pruning_search import PrunedSource
from edgepack.compress.search import Candidate
from edgepack.errors import BundleError, ExportError
from edgepack.evaluate import checks, verdict
from edgepack.evaluate.checks import Limits
from edgepack.evaluate.device import Device
from edgepack.evaluate.evaluation import TIME_LIMIT, Evaluator, HostRuns
from edgepack.evaluate.host import MEGABYTE
from edgepack.evaluate.model_file import ModelFile, Reference
from edgepack.forecast import Forecast
from edgepack.formats import Exported, operator_kinds
from edgepack.formats.stored_scheme import float_reason
from edgepack.model import source as sources
from edgepack.model.source import Source
from edgepack.options import Pruning
from edgepack.plan import Plan, TargetPlan
from edgepack.progress import Step, Steps
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Check
from edgepack.scheme import SCHEMES, SchemeName


@dataclass(frozen=True)
class Export:
    """One export, shared by all targets of one variant."""

    exported: Exported
    seconds: float
    float_layers: Mapping[str, str] = field(default_factory=dict)
    """Layers that stay in float in files that are not, by module path, each with the reason."""
    float_reason: str = ""
    """Why the files are float although the recipe is not; empty where they are not."""


@dataclass
class BuildState:
    """What one build has made so far, each piece once for all formats and targets."""

    source: Source
    folder: Path
    host_runs: HostRuns
    steps: Steps
    forecast: Forecast
    no_device: str
    """Why no file runs on an emulated device; empty where files do."""
    exports: dict[str, Export] = field(default_factory=dict)
    refused: dict[str, ExportError] = field(default_factory=dict)
    """Exports that failed, with the reason: targets of one variant share it."""
    begun: float = field(default_factory=time.monotonic)
    _calibrations: dict[int, Calibration] = field(default_factory=dict)
    _pruned: dict[str, PrunedSource | None] = field(default_factory=dict)

    @property
    def final(self) -> Source:
        """The source as its files compute it: with arg-max at the end, where that is asked for."""
        return sources.for_export(self.source)

    @property
    def reference(self) -> Reference:
        """What files are compared with."""
        final = self.final
        return Reference(
            final.evaluation.inputs, final.reference, final.contract, final.judged, final.evaluation.truth
        )

    def calibration(self, source: Source) -> Calibration | None:
        """The calibration of a source; None without samples."""
        if source.calib is None:
            return None
        return self._calibrations.setdefault(id(source), Calibration(source, self.steps.of(Step("compress"))))

    def pruned(
        self, pruning: Pruning, wanted: TargetPlan, training_budget: TrainingBudget
    ) -> PrunedSource | None:
        """The pruned source; targets share it where the same was asked, the goal of a search included."""
        goal = wanted.goal.model_dump_json() if pruning.ratio is None else ""
        key = f"{pruning} {training_budget} {goal}"
        if key not in self._pruned:
            self._pruned[key] = pruning_search.prune(
                self.source, pruning, wanted.goal, training_budget, self.steps.of(Step("train"))
            )
        return self._pruned[key]

    @property
    def seconds(self) -> dict[str, float]:
        """Time of each kind of work, all formats and targets together."""
        total: dict[str, float] = {}
        for calibration in self._calibrations.values():
            for what, took in calibration.seconds.items():
                total[what] = total.get(what, 0.0) + took
        total.update({f"export {key}": export.seconds for key, export in self.exports.items()})
        return total


def evaluator(state: BuildState, wanted: TargetPlan) -> Evaluator:
    """What evaluates files for one target."""
    device = Device(
        target=wanted.target,
        samples=state.host_runs.samples,
        inputs=state.source.evaluation.inputs,
        scratch=state.folder / f"device-{wanted.target.name}",
        time_limit=TIME_LIMIT,
        steps=state.steps,
        absent=state.no_device,
    )
    return Evaluator(state.reference, state.host_runs, device)


def training_budget(plan: Plan, wanted: TargetPlan) -> TrainingBudget:
    """How long fine-tuning may take, and by which seed."""
    if plan.recipe_file:
        return TrainingBudget(0.0, plan.recipe_file.recover_steps or None, plan.recipe_file.seed)
    return TrainingBudget(wanted.goal.recover or 0.0, None, wanted.goal.seed or 0)


def float_scheme(format_name: str, wanted: TargetPlan) -> SchemeName:
    """The float scheme that the target lists for a format."""
    choice = wanted.target.choice(format_name)
    assert choice is not None
    return next(name for name in choice.schemes if SCHEMES[name].is_float)


def wide_recipe(format_name: str, wanted: TargetPlan) -> Recipe | None:
    """32-bit floats, where the target lists 16-bit ones and the format carries both."""
    is_half = SCHEMES[float_scheme(format_name, wanted)].is_half
    carried = formats.load(format_name).capabilities(wanted.target).carries("fp32")
    return Recipe("fp32") if is_half and carried else None


def other_formats(format_name: str, wanted: TargetPlan, state: BuildState) -> str:
    """Which of the target's other formats can carry the model, as a hint: each is tried, in float."""
    target = wanted.target
    able = []
    for choice in target.formats:
        module = formats.load(choice.name)
        if choice.name == format_name or module.availability().export:
            continue
        scratch = state.folder / f"tried-{choice.name}" / f"model{module.suffix}"
        scratch.parent.mkdir()
        try:
            module.export(state.final, Recipe(float_scheme(choice.name, wanted)), target, scratch)
        except ExportError:
            continue
        able.append(choice.name)
    if not able:
        return f"none of the other formats of {target.name} can carry it either"
    flags = " ".join(f"--format {name}" for name in able)
    return f"tried just now, these formats of {target.name} can carry it: {flags}"


@dataclass
class Candidates:
    """Makes the candidates of one format for one target."""

    format: str
    wanted: TargetPlan
    state: BuildState
    source: Source
    """The model's own source, or the pruned one."""
    training_budget: TrainingBudget
    evaluator: Evaluator
    base: Candidate | None = None
    """The float files, which others are compared with; None while they are made themselves."""

    def __call__(self, recipe: Recipe) -> Candidate:
        """Prepare, export and evaluate a recipe. Raises ExportError where it cannot be written."""
        if self.base and recipe == self.base.recipe and not self._is_pruned:
            return self.base
        is_new = self._key(recipe) not in self.state.exports
        self.state.forecast.candidate(self.wanted, self.format, recipe.scheme, is_new=is_new)
        export = self._export(recipe)
        if export.float_reason and self.base:
            return self._float(recipe, export)
        artifacts = tuple(self._artifact(recipe, export, path) for path in export.exported.models)
        what = f"pruned {recipe.scheme}" if self._is_pruned else recipe.scheme
        is_model_itself = recipe.is_float and not self._is_pruned
        return Candidate(
            recipe,
            artifacts,
            export.exported.models,
            export.exported.companions,
            missed=verdict.missed(artifacts),
            no_gain="" if is_model_itself else verdict.no_gain(artifacts, what),
            is_pruned=self._is_pruned,
        )

    @property
    def _is_pruned(self) -> bool:
        return self.source is not self.state.source

    def _export(self, recipe: Recipe) -> Export:
        key = self._key(recipe)
        if before := self.state.refused.get(key):
            raise ExportError(str(before), hint=before.hint)
        if key not in self.state.exports:
            calibration = self.state.calibration(self.source)
            rows = formats.load(self.format).capabilities(self.wanted.target).dynamic_rows
            ready = ptq.prepare(calibration, recipe, rows=rows) if calibration else self.source
            ready, notes = self._fine_tuned(ready, recipe)
            step = Step("export", self.format, recipe.scheme)
            self.state.steps.begin(step, f"export {self._title(recipe)}")
            try:
                self.state.exports[key] = export = self._written(ready, recipe, notes)
            except ExportError as cause:
                self.state.refused[key] = cause
                raise
            files = 0 if export.float_reason else len(export.exported.models)
            self.state.forecast.exported(self.wanted, self.format, recipe.scheme, files)
        return self.state.exports[key]

    def _key(self, recipe: Recipe) -> str:
        """What tells an export from all others of this build."""
        pruned = f", pruned source {id(self.source)}" if self._is_pruned else ""
        details = f" {recipe}" if recipe != Recipe(recipe.scheme) else ""
        return f"{self._title(recipe)}{pruned}{details}"

    def _title(self, recipe: Recipe) -> str:
        variant = formats.load(self.format).variant(self.wanted.target)
        floats = sum(SCHEMES[name].is_float for name in recipe.layers.values())
        mixed = f", {floats} layers in float" if floats and not recipe.is_float else ""
        return f"{self.format} {recipe.scheme}" + (f" ({variant})" if variant else "") + mixed

    def _fine_tuned(self, ready: Source, recipe: Recipe) -> tuple[Source, tuple[str, ...]]:
        """`ready` after quantization-aware training, with its notes; itself where none is asked for."""
        if not (recipe.base.has_few_values and self.training_budget.is_given) or self._is_pruned:
            return ready, ()
        training = f"quantization-aware training of {recipe.scheme}, {self.training_budget}"
        self.state.steps.begin(Step("train", self.format, recipe.scheme), training)
        return qat.train(ready, recipe, self.training_budget, formats.load(self.format).weight_storage())

    def _written(self, ready: Source, recipe: Recipe, notes: tuple[str, ...]) -> Export:
        module = formats.load(self.format)
        folder = self.state.folder / str(len(self.state.exports) + len(self.state.refused))
        folder.mkdir()
        path = folder / f"{ready.name}-{recipe.scheme}{module.suffix}"
        begun = time.perf_counter()
        exported = module.export(sources.for_export(ready), recipe, self.wanted.target, path)
        seconds = time.perf_counter() - begun
        try:
            description = module.describe(exported.models[0])
        except BundleError as cause:
            raise ExportError(f"{self.format} wrote a file that cannot be read: {cause}") from cause
        reason = float_reason(description, recipe, module.capabilities(self.wanted.target))
        layers = {} if recipe.is_float or reason else self._float_layers(ready, recipe)
        return Export(replace(exported, notes=(*exported.notes, *notes)), seconds, layers, reason)

    def _float_layers(self, ready: Source, recipe: Recipe) -> dict[str, str]:
        """The layers that a file keeps in float, by module path, each with the reason."""
        module, target = formats.load(self.format), self.wanted.target
        graph = ready.exported.module()
        assert isinstance(graph, GraphModule)
        return operator_kinds.float_layers(
            graph, recipe, lambda layer, scheme: module.float_reason(graph, layer, scheme, target)
        )

    def _float(self, recipe: Recipe, export: Export) -> Candidate:
        """The float files in the place of an export in which no weight is quantized, with the reason.

        Their artifacts keep the recipe that was asked for.
        """
        assert self.base is not None
        floats = self(Recipe(self.base.recipe.scheme))
        notes = (export.float_reason, *export.exported.notes)
        artifacts = (
            replace(artifact, recipe=recipe, notes=(*artifact.notes, *notes)) for artifact in floats.artifacts
        )
        return replace(floats, artifacts=tuple(artifacts), no_gain=export.float_reason)

    def _artifact(self, recipe: Recipe, export: Export, path: Path) -> Artifact:
        """Evaluate one file of an export."""
        exported = export.exported
        base = self.base.models[0] if self.base else None
        file = ModelFile(
            path=path,
            format=self.format,
            scheme=recipe.scheme,
            activation=exported.activation,
            is_timed=exported.timed,
            delegation=exported.delegation,
            float_file=base or (exported.models[0] if path != exported.models[0] else None),
        )
        limits = Limits(self.wanted.target.budget, self.wanted.goal, pruned=self._is_pruned)
        evaluation = self.evaluator.evaluate(file, limits)
        description = formats.load(self.format).describe(path)
        size = bundle.bytes_of(path)
        return Artifact(
            file=f"{bundle.MODELS}/{path.name}",
            format=self.format,
            scheme=recipe.scheme,
            bytes=size,
            bytes_gzip=bundle.gzipped(path),
            size_ratio=size / bundle.bytes_of(base or exported.models[0]),
            export_seconds=export.seconds,
            figures=evaluation.figures,
            checks=(*self._cost_checks(size, exported), *evaluation.checks),
            quantized=None if recipe.is_float else description.quantized,
            delegated=description.delegated,
            kept_float=() if recipe.is_float else description.kept_float,
            notes=(*exported.notes, *evaluation.notes),
            recipe=recipe,
            float_layers=export.float_layers,
            activation=exported.activation,
            delegation=evaluation.delegation,
        )

    def _cost_checks(self, size: int, exported: Exported) -> Sequence[Check]:
        """The file's size, and what delegates take of it where the target asks for a share."""
        target = self.wanted.target
        within = checks.size(size / MEGABYTE, target.budget)
        least = formats.load(self.format).min_delegated(target)
        if least is None or exported.delegation is None:
            return (within,)
        return within, checks.delegated(exported.delegation, least)
