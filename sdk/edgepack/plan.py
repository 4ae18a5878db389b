"""The plan: everything a build will do, resolved and validated before torch is imported."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgepack import contract, formats, options, recipe, toml
from edgepack.app import template
from edgepack.contract import Input
from edgepack.errors import BundleError, ExportError, PlanError, SourceError
from edgepack.model import packages
from edgepack.model.request import ModelKind, ModelRequest
from edgepack.options import SETTINGS_FILE, BuildOptions, CompressionOptions, Pruning, Settings
from edgepack.python_reference import Reference
from edgepack.recipe import Recipe, RecipeFile, Step
from edgepack.report import Omission
from edgepack.scheme import SCHEMES, SchemeName
from edgepack.target import Target


@dataclass(frozen=True)
class TargetPlan:
    """What a build writes for one target."""

    target: Target
    steps: tuple[Step, ...]
    """By format, smallest file first: the first that meets the goal is shipped."""
    goal: CompressionOptions
    """The options of compression: flags override `edgepack.toml`, which overrides the target."""
    omitted: tuple[Omission, ...]
    folder: Path
    notes: tuple[str, ...] = ()
    """What the user should know of the recipe: how an old file was read."""


@dataclass(frozen=True)
class Plan(ModelRequest):
    """Everything a build will do: the model that it loads, and what it writes for each target."""

    settings_file: str
    eval_from: str
    recipe_file: RecipeFile | None
    """Recipes to follow instead of a search."""
    emulator: bool
    """Whether files for ARM devices are also run on the emulated device."""
    formats: tuple[str, ...]
    """The formats that were asked for by name: the build fails where one cannot be written."""
    targets: tuple[TargetPlan, ...]

    def pruning(self, wanted: TargetPlan) -> Pruning | None:
        """What is pruned for a target: as the recipe says, else as the goal says."""
        return options.parse_pruning(self.recipe_file.prune) if self.recipe_file else wanted.goal.pruning


def resolve(asked: BuildOptions) -> Plan:
    """Complete the options with the model's `edgepack.toml` and the targets, and validate them.

    Raises SourceError, TargetError, PlanError, ExportError or BundleError if they cannot be carried out.
    """
    model, home, settings = _settings(asked.model)
    chosen = asked.over(settings.options(model, home))
    kind = _kind(model)
    inputs, contract_from = _inputs(chosen.inputs, settings, kind)
    for where in (chosen.calib, chosen.eval):
        _check_samples(where)
    _check_choices(asked, chosen)
    recipe_file = _recipe_file(asked)
    goal = chosen.compress
    targets = _targets(chosen, _Wish(bool(chosen.calib), Path(chosen.out), goal, recipe_file))
    return Plan(
        model=model,
        kind=kind,
        weights=chosen.weights,
        trust_pickle=chosen.trust_pickle,
        settings_file=str(home / SETTINGS_FILE) if settings != Settings() else "",
        inputs=inputs,
        outputs=settings.output,
        state=settings.state,
        labels=options.read_labels(Path(chosen.labels)) if chosen.labels else (),
        contract_from=contract_from,
        calib=chosen.calib,
        eval=chosen.eval,
        eval_from=_eval_from(chosen.calib, chosen.eval),
        recipe_file=recipe_file,
        bake=chosen.bake_preprocessing,
        argmax=chosen.bake_argmax,
        emulator=chosen.emulator,
        formats=chosen.formats,
        targets=targets,
        recovers=bool(recipe_file.recover_steps)
        if recipe_file
        else any(each.goal.recover for each in targets),
    )


def _check_choices(asked: BuildOptions, chosen: BuildOptions) -> None:
    """Raise PlanError or SourceError if the options contradict each other or name what does not exist."""
    if not chosen.targets:
        raise PlanError(
            "no target is given",
            hint="add --target NAME (`edgepack targets` lists them) or targets in edgepack.toml",
        )
    for name in chosen.formats:
        formats.checked(name)
    options.check(asked.compress)
    if chosen.bake_argmax and not chosen.bake_preprocessing:
        raise PlanError("--bake-argmax goes with --bake-preprocessing", hint="give both")
    if chosen.weights and not Path(chosen.weights).is_file():
        raise SourceError(f"there is no weights file {chosen.weights}")


@dataclass(frozen=True)
class _Wish:
    """The choices that all targets of a build share."""

    calibrated: bool
    out: Path
    compress: CompressionOptions
    recipe_file: RecipeFile | None


def _recipe_file(asked: BuildOptions) -> RecipeFile | None:
    """The recipes of `--recipe`. Raises PlanError if it is no recipe, or if another flag contradicts it."""
    if not asked.recipe:
        return None
    given = [name for name in ("scheme", "prune", "recover") if name in asked.given]
    if given:
        raise PlanError(
            f"--recipe and --{given[0]} exclude each other: give one of them",
            hint=f"edit {asked.recipe}, or omit --recipe",
        )
    recipe_file = recipe.read(Path(asked.recipe))
    try:
        options.parse_pruning(recipe_file.prune)
    except ValueError as cause:
        raise PlanError(f"{asked.recipe}: {cause}") from cause
    return recipe_file


def _settings(model: str) -> tuple[str, Path, Settings]:
    """The model's reference, the folder that the settings' paths are relative to, and the settings."""
    given = Path(model)
    if given.is_dir() or given.name == SETTINGS_FILE:
        path = given / SETTINGS_FILE if given.is_dir() else given
        if not path.is_file():
            if (given / _CONFIGURATION).is_file():
                return f"{_TRANSFORMERS}{model}", given, Settings()
            raise SourceError(f"{given} is a folder without an {SETTINGS_FILE}")
        settings = options.load_settings(path)
        if not settings.model.source:
            raise PlanError(f"{path} names no model: add source under [model]")
        return _located(settings.model.source, path.parent), path.parent, settings
    reference = Reference.parse(model)
    place = reference.place if reference and reference.is_file else model
    home = Path(place).parent if Path(place).is_file() else Path()
    path = home / SETTINGS_FILE
    if not path.is_file():
        return model, home, Settings()
    settings = options.load_settings(path)
    named = _located(settings.model.source, home) if settings.model.source else model
    if os.path.normpath(named) != os.path.normpath(model):
        return model, home, Settings()
    return model, home, settings


def _located(model: str, home: Path) -> str:
    """A model's reference from settings, its file relative to the current folder."""
    if model.startswith(_TRANSFORMERS):
        return _TRANSFORMERS + os.path.normpath(home / model.removeprefix(_TRANSFORMERS))
    reference = Reference.parse(model)
    is_file = (reference and reference.is_file) or Path(model).suffix in (".pt", ".pt2", ".keras")
    return os.path.normpath(home / model) if is_file else model


_CONFIGURATION = "config.json"
"""The file by which a folder of transformers is known."""
_TRANSFORMERS = "hf:"
"""Begins the reference of such a folder."""


def _kind(model: str) -> ModelKind:
    suffix = Path(model).suffix
    if model.startswith(_TRANSFORMERS):
        folder = Path(model.removeprefix(_TRANSFORMERS))
        if not (folder / _CONFIGURATION).is_file():
            raise SourceError(
                f"{folder} is no folder of transformers: it has no {_CONFIGURATION}",
                hint="edgepack works offline: give a folder that save_pretrained wrote",
            )
        packages.check("transformers", "transformers")
        return "transformers"
    if model.startswith("timm:"):
        packages.check("timm", "timm")
        return "timm"
    if suffix == ".keras":
        if not Path(model).is_file():
            raise SourceError(f"there is no model file {model}")
        packages.check("keras", "keras")
        return "keras"
    if suffix in (".pt2", ".pt", ".pth"):
        if not Path(model).is_file():
            raise SourceError(f"there is no model file {model}")
        if suffix == ".pth":
            raise SourceError(
                f"{model} holds weights without a model",
                hint=f"name the model too: edgepack build net.py:model --weights {model}",
            )
        return "exported" if suffix == ".pt2" else "torchscript"
    if model.startswith("torchvision:"):
        return "torchvision"
    reference = Reference.parse(model)
    if reference is None:
        raise SourceError(
            f"'{model}' is not a model",
            hint="give path/to/file.py:name, package.module:name, torchvision:NAME, timm:NAME, a folder of "
            "transformers, file.pt2, file.pt or file.keras",
        )
    if reference.is_file:
        if not reference.path.is_file():
            raise SourceError(f"there is no file {reference.place}")
    elif not _is_module(reference.place.split(".")[0]):
        raise SourceError(
            f"there is no module {reference.place}", hint="a file is named with its .py: path/to/file.py:name"
        )
    return "python"


def _is_module(name: str) -> bool:
    """Whether the current folder or the installed packages hold a module or package `name`."""
    here = Path(f"{name}.py").is_file() or Path(name).is_dir()
    return name.isidentifier() and (here or importlib.util.find_spec(name) is not None)


def _inputs(
    specs: tuple[str, ...], settings: Settings, kind: ModelKind
) -> tuple[tuple[dict[str, Any], ...], str]:
    """The inputs' tables, and where they come from, in words."""
    filed = [each.model_dump(exclude_unset=True) for each in settings.input]
    if not specs:
        if filed:
            return tuple(filed), SETTINGS_FILE
        return (), _contract_of_model(kind)
    given = [contract.parse_input(spec, n) for n, spec in enumerate(specs)]
    tables, origin = [], "--input"
    for number, table in enumerate(given):
        below = filed[number] if number < len(filed) else {}
        if table["kind"] == "image" and below.get("kind") == "image":
            tables.append(_resized(below, table))
            origin = f"--input, the rest from {SETTINGS_FILE}"
        else:
            tables.append(table)
    for table in tables:
        toml.validate({"inputs": [table]}, _Inputs, "--input", PlanError)
    if kind in ("torchvision", "timm") and not filed and tables[0]["kind"] == "image":
        origin = f"--input, the rest from {kind}'s weights metadata"
    return tuple(tables), origin


class _Inputs(toml.Strict):
    inputs: tuple[Input, ...]


def _resized(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """An image's table with the size of another. A resize smaller than that size is dropped."""
    merged = {**below, **above}
    if merged.get("resize_to") and merged["resize_to"] < max(above["size"]):
        del merged["resize_to"]
    return merged


_CONTRACTS: dict[ModelKind, str] = {
    "torchvision": "torchvision's weights metadata",
    "timm": "timm's pretrained configuration",
    "transformers": "the configuration files of the folder",
    "keras": "the inputs of the Keras model",
    "exported": "the exported program's example inputs",
}
"""Where the contract comes from, for models that declare it."""


def _contract_of_model(kind: ModelKind) -> str:
    if kind in _CONTRACTS:
        return f"{_CONTRACTS[kind]}, read when the build starts"
    raise PlanError(
        "the inputs of the model are not declared",
        hint="add --input image:224 or --input tensor:1x3x224x224, or an edgepack.toml beside it",
    )


def _check_samples(where: str) -> None:
    reference = Reference.parse(where)
    if where and not (reference and reference.is_file) and not Path(where).exists():
        raise SourceError(f"there are no samples at {where}")


def _eval_from(calib: str, evaluation: str) -> str:
    if evaluation:
        return evaluation
    if calib:
        return f"a third of {calib}, held out from calibration"
    return "noise: no samples are given, so the agreement proves little"


def _targets(chosen: BuildOptions, wish: _Wish) -> tuple[TargetPlan, ...]:
    found = tuple(_for_target(name, chosen.formats, wish) for name in dict.fromkeys(chosen.targets))
    names = [each.target.name for each in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise PlanError(f"two targets are called {twice[0]}, so their bundles would lie in one folder")
    return found


def _for_target(name: str, asked: tuple[str, ...], wish: _Wish) -> TargetPlan:
    device = formats.load_target(name)
    settled = _goal(device, wish.compress)
    steps: list[Step] = []
    omitted: list[Omission] = []
    notes = list(wish.recipe_file.notes) if wish.recipe_file else []
    for format_name in asked or tuple(choice.name for choice in device.formats):
        choice = device.choice(format_name)
        if choice is None:
            carried = ", ".join(choice.name for choice in device.formats)
            omitted.append(Omission(format_name, f"{device.name} has no use for it; it takes {carried}"))
            continue
        if format_name not in formats.names():
            raise PlanError(f"{device.name} asks for format '{format_name}', which does not exist")
        ladder = (
            _by_hand(format_name, wish, device)
            if wish.recipe_file
            else _ladder(format_name, wish, device, settled)
        )
        steps += ladder.steps
        omitted += ladder.omitted
        notes += ladder.notes
    if not steps:
        reason = "; ".join(f"{omission.what}: {omission.why}" for omission in omitted)
        raise PlanError(f"nothing is left to write for {device.name} ({reason})")
    for format_name in dict.fromkeys(step.format for step in steps):
        if problem := formats.load(format_name).availability().export:
            raise ExportError(f"format {format_name} cannot be written here: {problem}")
    few = [name for name in SCHEMES if SCHEMES[name].has_few_values]
    if settled.recover and not settled.pruning and not any(step.scheme in few for step in steps):
        omitted.append(Omission("fine-tuning", f"nothing is pruned, and no {' or '.join(sorted(few))} tried"))
    if not device.template:
        omitted.append(Omission("app", f"no app template is shipped for {device.platform} yet"))
    else:
        template.load(device.template)
    folder = wish.out / device.name
    _check_folder(folder)
    return TargetPlan(device, tuple(steps), settled, tuple(omitted), folder, tuple(notes))


def _goal(device: Target, given: CompressionOptions) -> CompressionOptions:
    """The goal for one device: the given options, completed by the device's own, then by the defaults."""
    settled = given.over(device.compress).with_budget(device.budget.min_agreement)
    options.check(settled)
    return settled


@dataclass(frozen=True)
class _Ladder:
    """The schemes that are tried for one format and target."""

    steps: tuple[Step, ...] = ()
    omitted: tuple[Omission, ...] = ()
    notes: tuple[str, ...] = ()


def _ladder(format_name: str, wish: _Wish, device: Target, settled: CompressionOptions) -> _Ladder:
    """The forced scheme, or the target's schemes, except those that cannot be written."""
    schemes = (settled.forced,) if settled.forced else _wanted(format_name, device, settled)
    problems = {scheme: _obstacle(format_name, Recipe(scheme), device, wish.calibrated) for scheme in schemes}
    able = [scheme for scheme in schemes if not problems[scheme]]
    falls_back = f"; falls back to {' or '.join(able)}" if able else ""
    return _Ladder(
        tuple(Step(format_name, scheme, SCHEMES[scheme].about) for scheme in able),
        tuple(
            Omission(f"{format_name} {scheme}", problem + falls_back)
            for scheme, problem in problems.items()
            if problem
        ),
    )


def _wanted(format_name: str, device: Target, settled: CompressionOptions) -> tuple[SchemeName, ...]:
    """The target's schemes; before them the sparse ones, if single weights are pruned."""
    choice = device.choice(format_name)
    assert choice is not None
    pruning = settled.pruning
    if not pruning or pruning.kind == "channels":
        return choice.schemes
    table = formats.load(format_name).capabilities(device)
    sparse = [name for name in reversed(tuple(SCHEMES)) if SCHEMES[name].sparse and table.carries(name)]
    return (*sparse, *choice.schemes)


def _by_hand(format_name: str, wish: _Wish, device: Target) -> _Ladder:
    """The one step of a recipe that is given by hand."""
    assert wish.recipe_file is not None
    given = wish.recipe_file.of(format_name)
    if given is None:
        return _Ladder(omitted=(Omission(format_name, "the recipe says nothing of it"),))
    renamed = ""
    if wish.recipe_file.schema_number == 1:
        table = formats.load(format_name).capabilities(device)
        given, renamed = recipe.with_dynamic_schemes(given, table.carries)
    notes = (f"recipe of schema_number 1, {format_name}: {renamed}",) if renamed else ()
    if problem := _obstacle(format_name, given, device, wish.calibrated):
        return _Ladder(omitted=(Omission(f"{format_name} {given.scheme}", problem),), notes=notes)
    why = SCHEMES[given.scheme].about + ", by the recipe"
    return _Ladder((Step(format_name, given.scheme, why, given),), notes=notes)


def _obstacle(format_name: str, wanted: Recipe, device: Target, calibrated: bool) -> str:
    """Why a format cannot be written by a recipe, its layers included; empty where it can."""
    if problem := formats.load(format_name).capabilities(device).recipe_refusal(wanted):
        return problem
    if calibrated or not any(scheme.has_static_activations for scheme in wanted.schemes):
        return ""
    static = [
        f"{path} in {name}" for path, name in wanted.layers.items() if SCHEMES[name].has_static_activations
    ]
    where = "" if wanted.base.has_static_activations else f"layer {', '.join(static)}: "
    return f"{where}no --calib: ranges are not guessed from noise"


def _check_folder(folder: Path) -> None:
    """Raise BundleError where a bundle cannot be put at `folder`."""
    if folder.exists() and not (folder / "bundle.json").is_file():
        raise BundleError(
            f"{folder} exists and is no bundle: it is not overwritten", hint="give another --out"
        )
    above = next(parent for parent in (folder.parent, *folder.parent.parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise BundleError(f"{above} cannot be written to", hint="give another --out")


_ADAPTER = TypeAdapter(Plan)


def to_json(plan: Plan) -> str:
    """The plan as one JSON document."""
    return _ADAPTER.dump_json(plan, indent=2).decode()
