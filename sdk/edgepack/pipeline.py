"""The build: a plan becomes bundles.

Load the model; for each target and format search for a recipe, whose candidates are compressed, exported
and evaluated; render the app; write the bundle.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgepack import bundle, plot, recipe, target_search, toml
from edgepack.app import render, template
from edgepack.candidates import BuildState
from edgepack.compress import sensitivity as layer_sensitivity
from edgepack.compress.calibration import Calibration
from edgepack.compress.counts import layer_costs
from edgepack.compress.pruning_search import PrunedSource
from edgepack.compress.search import Candidate
from edgepack.compress.sensitivity import LayerSensitivity
from edgepack.contract import expected, texts
from edgepack.emulator.job import write_samples
from edgepack.errors import ExportError, PlanError
from edgepack.evaluate import device
from edgepack.evaluate.evaluation import HostRuns
from edgepack.forecast import Forecast
from edgepack.model import inference, source
from edgepack.model.source import Source
from edgepack.plan import Plan, TargetPlan
from edgepack.progress import Progress, Step, Steps
from edgepack.report import Artifact, Omission, Report
from edgepack.target_search import TargetSearch

_ANALYSIS = 4
"""Steps of a sensitivity analysis: the recipe's corrections, two calibrations, the layers."""


def build(plan: Plan, progress: Progress | None = None) -> list[Report]:
    """Carry out `plan`: one bundle for each target, written whole or not at all.

    Raises the EdgepackErrors of its parts, ExportError where no file could be written, or none of a format
    that was asked for by name. A failed check, or a format that cannot carry the model, is no error: see
    `Report.passed`.
    """
    steps = Steps(progress)
    forecast = Forecast(plan, steps)
    forecast.begin()
    with bundle.staging_folder(plan.targets[0].folder.parent) as folder, inference.one_thread():
        steps.begin(Step("load"), f"load {plan.model}, run it in float")
        loaded = source.load(plan)
        _check_goals(plan, loaded)
        _check_layers(plan, loaded)
        state = _state(plan, loaded, folder, forecast)
        reports = [_build_for(plan, wanted, state) for wanted in plan.targets]
        _check_written(reports)
        for wanted in plan.targets:
            bundle.put(_draft(wanted, state), wanted.folder)
        steps.end()
        return reports


def sensitivity(plan: Plan, progress: Progress | None = None) -> tuple[LayerSensitivity, ...]:
    """What int8 costs each layer of the model, in the order in which they run.

    Raises PlanError without calibration samples or where the model has no layer that int8 knows.
    """
    steps = Steps(progress)
    steps.expect("analysis", [Step("load"), *[Step("compress")] * _ANALYSIS])
    with inference.one_thread():
        steps.begin(Step("load"), f"load {plan.model}, run it in float")
        loaded = source.load(plan)
        if loaded.calib is None:
            raise PlanError("sensitivity is measured on samples: give --calib")
        calibration = Calibration(loaded, steps.of(Step("compress")))
        layers = {layer.path: layer for layer in layer_sensitivity.analyze(calibration)}
        if not layers:
            raise PlanError("the model has no convolution and no linear layer of constant weights")
        steps.end()
        return tuple(layers[path] for path in layer_costs(loaded))


def _check_goals(plan: Plan, loaded: Source) -> None:
    """Raise PlanError if a goal is given that no output of the model has a metric for."""
    if any(each.kind.metric for each in loaded.judged):
        return
    for flag in ("max_drop", "min_agreement"):
        if any(flag in wanted.goal.given for wanted in plan.targets):
            raise PlanError(
                f"--{flag.replace('_', '-')} has no metric here: {_without_metric(loaded)}",
                hint="give samples with --calib or --eval, or declare the output's kind under [output]",
            )


def _without_metric(loaded: Source) -> str:
    """Why SQNR is all that there is of a model."""
    if loaded.evaluation.is_noise:
        return "on noise, the outputs are judged by their SQNR alone"
    return "too few samples, or outputs that are carried as state, are judged by their SQNR alone"


def _check_layers(plan: Plan, loaded: Source) -> None:
    """Raise PlanError where a recipe names a layer that the model has not."""
    known = list(layer_costs(loaded))
    recipes = [step.recipe for wanted in plan.targets for step in wanted.steps if step.recipe]
    for path in (path for by_hand in recipes for path in by_hand.layers):
        if not any(layer == path or layer.startswith(f"{path}.") for layer in known):
            raise PlanError(
                f"the recipe names layer '{path}', which the model has not: {toml.near(path, known)}",
                hint="`edgepack sensitivity` lists the layers",
            )


def _state(plan: Plan, loaded: Source, folder: Path, forecast: Forecast) -> BuildState:
    steps = forecast.steps
    files = [(wanted.target, step.format) for wanted in plan.targets for step in wanted.steps]
    no_device = device.absent(files, steps.of(Step("set up")), wanted=plan.emulator)
    samples = folder / "samples.npz"
    write_samples(loaded.evaluation.inputs, samples)
    order = {
        (wanted.target.name, name): [step.scheme for step in target_search.steps(name, plan, wanted, loaded)]
        for wanted in plan.targets
        for name in dict.fromkeys(step.format for step in wanted.steps)
    }
    forecast.loaded(order, devices=not no_device)
    host_runs = HostRuns(samples, folder / "host", steps)
    return BuildState(loaded, folder, host_runs, steps, forecast, no_device)


def _build_for(plan: Plan, wanted: TargetPlan, state: BuildState) -> Report:
    """Search each format, then put the bundle of one target together."""
    search = TargetSearch(plan, wanted, state)
    search.run()
    state.forecast.over()
    state.steps.begin(Step("bundle"), f"put {wanted.folder} together")
    return _bundled(plan, wanted, state, search)


def _check_written(reports: list[Report]) -> None:
    """Raise ExportError where no target has a file."""
    if any(report.artifacts for report in reports):
        return
    whys = {refusal.why: refusal.hint for report in reports for refusal in report.refusals}
    first = next(iter(whys))
    hint = "no format of the given targets can carry the model"
    raise ExportError("; ".join(whys), hint=f"{hint}; {whys[first]}" if whys[first] else hint)


def _bundled(plan: Plan, wanted: TargetPlan, state: BuildState, search: TargetSearch) -> Report:
    """Write the draft of a target's bundle; it takes its place once all targets have one."""
    final, folder = state.final, _draft(wanted, state)
    chosen, pruned_source = search.chosen, search.pruned_source
    _write_models(folder, state, chosen)
    _write_expected(folder, final)
    if final.tokenizer:
        shutil.copyfile(final.tokenizer, folder / texts.TOKENIZER)
    artifacts = tuple(artifact for candidate in chosen for artifact in candidate.artifacts)
    app_file, without_app = _app(wanted, final, artifacts, folder)
    report = Report(
        target=wanted.target.name,
        model=plan.model_name,
        contract_from=plan.contract_from,
        evaluated_on=final.evaluation.origin,
        calibrated_on=final.calib.origin if final.calib else "",
        artifacts=artifacts,
        skipped=(*wanted.omitted, *search.omitted, *without_app),
        notes=(*wanted.notes, *final.notes, *(pruned_source.notes if pruned_source else ())),
        folder=str(wanted.folder),
        tried=tuple(search.tried),
        refusals=tuple(search.refusals),
        goal=wanted.goal.model_dump(mode="json"),
        fingerprint=final.calib.fingerprint if final.calib else "",
        pruned=pruned_source.report if pruned_source else None,
        seconds=state.seconds,
        app=app_file,
    )
    if chosen:
        _write_recipes(folder, chosen, pruned_source, wanted.goal.seed or 0)
    plot.pareto(report, folder / bundle.PARETO)
    bundle.seal(folder, report, wanted.target, final.contract)
    return report


def _draft(wanted: TargetPlan, state: BuildState) -> Path:
    return state.folder / f"bundle-{wanted.target.name}"


def _write_models(folder: Path, state: BuildState, chosen: list[Candidate]) -> None:
    """Copy the model files, and write the golden vectors with what each file gave on this host."""
    models, final = folder / bundle.MODELS, state.final
    models.mkdir(parents=True)
    given = {}
    for path in (path for candidate in chosen for path in (*candidate.models, *candidate.companions)):
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, models / path.name)
        outputs = state.host_runs.outputs(path)
        if outputs is not None:
            given[path.name] = outputs
    bundle.write_golden(folder / bundle.GOLDEN, final.evaluation.inputs, final.reference, given)
    if final.contract.image:
        bundle.write_golden_image(folder / bundle.GOLDEN, final.contract.image)


def _write_expected(folder: Path, final: Source) -> None:
    """What an app's monitoring is compared with."""
    seen = final.calib or final.evaluation
    statistics = expected.of(final.contract, seen, final.evaluation, final.reference)
    (folder / bundle.EXPECTED).write_text(statistics.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_recipes(
    folder: Path, chosen: list[Candidate], pruned_source: PrunedSource | None, seed: int
) -> None:
    """The recipes of what ships, as `--recipe` reads them."""
    recipes = {candidate.artifacts[0].format: candidate.recipe for candidate in chosen}
    what, steps = (
        (pruned_source.report.what, pruned_source.report.recovery_steps) if pruned_source else ("", 0)
    )
    (folder / bundle.RECIPE).write_text(recipe.to_toml(recipes, what, steps, seed), encoding="utf-8")


def _app(
    wanted: TargetPlan, final: Source, artifacts: tuple[Artifact, ...], folder: Path
) -> tuple[str, tuple[Omission, ...]]:
    """Render the target's app for its first artifact that it can run; the file it uses, or why none."""
    name = wanted.target.template
    if not name:
        return "", ()
    usable = render.usable(template.load(name), artifacts)
    if usable is None:
        return "", (Omission("app", f"no file that {name} can run was written and passed its checks"),)
    choice = render.Choice(template=name)
    render.write(folder, folder / bundle.APP, usable, wanted.target, final.contract, choice)
    return usable.file, _without_tokenizer(final, template.load(name))


def _without_tokenizer(final: Source, chosen: template.Template) -> tuple[Omission, ...]:
    """What an app in another language than Python does not do with texts."""
    if final.tokenizer is None or chosen.language == "python":
        return ()
    return (Omission("tokenizer in the app", f"{chosen.name} takes token ids: it has no tokenizer"),)
