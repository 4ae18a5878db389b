"""The command line: parses, calls, prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepack.cli.screen import Screen
from edgepack.errors import CHECK_FAILED

if TYPE_CHECKING:
    from edgepack.options import BuildOptions

app = typer.Typer(
    name="edgepack",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "One command from a PyTorch model and a device to model files that are quantized for it, "
        "run and compared with the float model on this very host, and the app code that runs them. "
        "Nothing leaves this machine; all works offline but the first set-up of the ARM emulator.\n\n"
        "Start with `edgepack targets`, then "
        "`edgepack build net.py:model --target raspberry-pi-5 --input image:224 --calib photos/`.\n\n"
        "Exit codes: 0 all checks passed; 10 a check failed (the bundle is written and says so); "
        "2 target, 3 plan, 4 export, 5 model or samples, 6 bundle; 130 interrupted."
    ),
)

_MODEL_HELP = (
    "path/to/file.py:name or package.module:name (a module, or a callable that gives one), "
    "torchvision:NAME, file.pt2, file.pt (TorchScript), or a folder with an edgepack.toml"
)
Model = Annotated[str, typer.Argument(help=_MODEL_HELP, show_default=False)]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", help="a device, or a profile of your own (./my.toml); repeat for several"),
]
Formats = Annotated[
    list[str] | None, typer.Option("--format", "-f", help="only these formats; default: all the target has")
]
Weights = Annotated[str, typer.Option(help="state dict: .safetensors, .pth or .pt")]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="tensor:1x3x224x224[:float32] or image:224[x224]; a name for a free dimension (Nx3x224x224); "
        "repeat for several inputs, name=… to name one",
    ),
]
Calib = Annotated[
    str,
    typer.Option(help="samples that set the int8 ranges: a folder of pictures, .npz, .npy or file.py:name"),
]
Eval = Annotated[str, typer.Option(help="samples to judge on; default: a third of --calib, held out")]
Labels = Annotated[str, typer.Option(help="class names, one a line")]
Out = Annotated[str, typer.Option(help="folder of the bundles: OUT/TARGET/; default: dist")]
Trust = Annotated[
    bool, typer.Option("--trust-pickle", help="load pickles that hold more than tensors: they can run code")
]
_COMPRESS = "Compression"
MaxDrop = Annotated[
    float | None,
    typer.Option(
        help="most accuracy that may be lost, in percentage points; without labels, bounded by agreement",
        rich_help_panel=_COMPRESS,
        show_default=False,
    ),
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        help="least percent of samples with the float model's top answer; default: the target's budget",
        rich_help_panel=_COMPRESS,
        show_default=False,
    ),
]
Scheme = Annotated[
    str,
    typer.Option(
        help="auto: the target's schemes, most saving first, down to float until the goal is met; "
        "or one scheme, shipped whatever it loses (`edgepack formats` lists what each format carries)",
        rich_help_panel=_COMPRESS,
    ),
]
Prune = Annotated[
    str,
    typer.Option(
        help="0.3: that share of the channels; auto: as many as the goal allows; 2:4 or weights:0.6: "
        "single weights, for formats that store or compute zeros for less",
        rich_help_panel=_COMPRESS,
    ),
]
Recover = Annotated[
    float | None,
    typer.Option(
        help="minutes, at most, that a pruned model (labels help it), or each one tried in 4 bits, learns "
        "from the float model",
        rich_help_panel=_COMPRESS,
        show_default=False,
    ),
]
SearchBudget = Annotated[
    float | None,
    typer.Option(
        help="minutes after which the best so far is taken", rich_help_panel=_COMPRESS, show_default=False
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="of the split and of recovery; default: 0", rich_help_panel=_COMPRESS, show_default=False
    ),
]
RecipeFile = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="a recipe.toml (each bundle has one) to follow instead of a search",
        rich_help_panel=_COMPRESS,
    ),
]
Bake = Annotated[
    bool,
    typer.Option(
        "--bake-preprocessing",
        help="the graph takes 8-bit pictures of the model's size, height by width by channels, scales and "
        "transposes them itself, and applies the contract's activation",
    ),
]
Argmax = Annotated[
    bool,
    typer.Option(
        "--bake-argmax",
        help="with --bake-preprocessing: the graph ends in the best class's number, not in scores",
    ),
]
Emulator = Annotated[
    bool | None,
    typer.Option(
        "--emulator/--no-emulator",
        help="whether files for ARM devices run on the emulated device, too, which first use fetches "
        "(105 MB, a minute) unless EDGEPACK_OFFLINE=1 is set; default: yes",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, and nothing else there")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Also print candidates, recipes, delegates, host figures and all notes."
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="on an error, show its causes and what toolchains printed")
]


def _with_choices(work: Callable[[Screen, BuildOptions, bool, bool], None]) -> Callable[..., None]:
    """A command that takes what a plan is made from, and calls `work(screen, choices, json, verbose)`."""

    def command(
        model: Model,
        target: Targets = None,
        format: Formats = None,
        weights: Weights = "",
        input: Inputs = None,
        calib: Calib = "",
        eval: Eval = "",
        labels: Labels = "",
        out: Out = "",
        trust_pickle: Trust = False,
        max_drop: MaxDrop = None,
        min_agreement: MinAgreement = None,
        scheme: Scheme = "",
        prune: Prune = "",
        recover: Recover = None,
        search_budget: SearchBudget = None,
        seed: Seed = None,
        recipe: RecipeFile = "",
        bake_preprocessing: Bake = False,
        bake_argmax: Argmax = False,
        emulator: Emulator = None,
        verbose: Verbose = False,
        json: Json = False,
        debug: Debug = False,
    ) -> None:
        with Screen(debug=debug) as screen:
            from edgepack import options

            given = {
                "model": model,
                "targets": target,
                "formats": format,
                "weights": weights,
                "inputs": input,
                "calib": calib,
                "eval": eval,
                "labels": labels,
                "out": out,
                "trust_pickle": trust_pickle,
                "max_drop": max_drop,
                "min_agreement": min_agreement,
                "scheme": scheme,
                "prune": prune,
                "recover": recover,
                "search_budget": search_budget,
                "seed": seed,
                "recipe": recipe,
                "emulator": emulator,
                "bake_preprocessing": bake_preprocessing or None,
                "bake_argmax": bake_argmax or None,
            }
            choices = options.parse(given)
            work(screen, choices, json, verbose)

    command.__name__, command.__doc__ = work.__name__, work.__doc__
    return command


@app.command()
@_with_choices
def build(screen: Screen, choices: BuildOptions, json: bool, verbose: bool) -> None:
    """Write a bundle for each target: model files, run and compared with the float model, and an app.

    What is not given comes from the `edgepack.toml` beside the model; a flag beats the file.
    """
    from edgepack import pipeline, plan, report

    reports = pipeline.build(plan.resolve(choices), screen.progress)
    screen.done()
    if json:
        screen.write(report.all_to_json(reports))
    else:
        for each in reports:
            screen.report(each, verbose=verbose)
    screen.exit(0 if all(each.passed for each in reports) else CHECK_FAILED)


@app.command()
@_with_choices
def plan(screen: Screen, choices: BuildOptions, json: bool, verbose: bool) -> None:
    """Show what `build` would do with the same arguments, and why; does no work."""
    from edgepack import plan as plans

    del verbose
    settled = plans.resolve(choices)
    if json:
        screen.write(plans.to_json(settled))
    else:
        screen.plan(settled)


@app.command()
def sensitivity(
    model: Model,
    target: Targets = None,
    weights: Weights = "",
    input: Inputs = None,
    calib: Calib = "",
    eval: Eval = "",
    plot: Annotated[Path, typer.Option(help="where the plot goes: .svg or .png")] = Path("sensitivity.svg"),
    trust_pickle: Trust = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show, layer by layer, what int8 costs the model's answers, and how many bytes and operations it saves.

    Each layer alone is quantized, in simulation, on calibration samples; the lower the SQNR, the more the
    layer costs. `build` leaves the worst ones in float where its goal asks for it.
    """
    with Screen(debug=debug) as screen:
        from edgepack import options
        from edgepack import plan as plans
        from edgepack import plot as plots

        plots.check_path(plot)
        given = {
            "model": model,
            "targets": target,
            "weights": weights,
            "inputs": input,
            "calib": calib,
            "eval": eval,
            "trust_pickle": trust_pickle,
        }
        choices = options.parse(given)
        from edgepack import pipeline

        settled = plans.resolve(choices)
        found = pipeline.sensitivity(settled, screen.progress)
        screen.done()
        plots.sensitivity(found, settled.model_name, plot)
        worst_first = sorted(found, key=lambda each: each.sqnr_db)
        if json:
            screen.dump([dataclasses.asdict(each) for each in worst_first])
        else:
            screen.sensitivity(worst_first, plot)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="a bundle: OUT/TARGET", show_default=False)],
    against: Annotated[
        Path | None,
        typer.Option(help="fail where a file takes more instructions than this bundle's", show_default=False),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="how many more, in percent, --against lets pass")
    ] = 0.5,
    emulator: Emulator = None,
    android_libs: Annotated[
        bool, typer.Option("--android-libs", help="run an Android bundle by Android's own libraries, too")
    ] = False,
    verbose: Verbose = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Run every artifact of a bundle again and compare; the exit codes are those of `build`."""
    with Screen(debug=debug) as screen:
        from edgepack import report, verify

        found = verify.check(
            bundle, screen.progress, emulator=emulator is not False, android_libs=android_libs
        )
        if against:
            found = verify.against(found, against, tolerance)
        screen.done()
        if json:
            screen.write(report.to_json(found))
        else:
            screen.report(found, verbose=verbose)
        screen.exit(0 if found.passed else CHECK_FAILED)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="a .pte, .onnx, .ort, .mlpackage or .ptl", show_default=False)],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a model file holds: inputs, outputs, operators, precision, bytes by layer."""
    with Screen(debug=debug) as screen:
        from edgepack import bundle

        found = bundle.inspect(path)
        if json:
            screen.dump(found)
        else:
            screen.description(path, found)


_Name = Annotated[str, typer.Argument(help="explain this one", show_default=False)]


@app.command()
def targets(name: _Name = "", json: Json = False, debug: Debug = False) -> None:
    """List the devices, or explain one."""
    with Screen(debug=debug) as screen:
        from edgepack import target
        from edgepack.formats import load_target

        found = [load_target(each) for each in ([name] if name else target.names())]
        _shown(screen, [each.model_dump(mode="json") for each in found], json, name)
        if not json:
            screen.target(found[0]) if name else screen.targets(found)


@app.command()
def formats(name: _Name = "", json: Json = False, debug: Debug = False) -> None:
    """List the formats, or explain one."""
    with Screen(debug=debug) as screen:
        from edgepack import formats as modules

        wanted = [modules.checked(name)] if name else modules.names()
        facts = [modules.facts(each) for each in wanted]
        _shown(screen, facts, json, name)
        if not json:
            screen.formats(facts)


@app.command()
def templates(name: _Name = "", json: Json = False, debug: Debug = False) -> None:
    """List the app templates, or explain one."""
    with Screen(debug=debug) as screen:
        from edgepack.app import template

        found = [template.load(each) for each in ([name] if name else template.names())]
        _shown(screen, [each.model_dump(mode="json") for each in found], json, name)
        if not json:
            screen.templates(found)


@app.command("app")
def render_app(
    bundle: Annotated[Path, typer.Argument(help="a bundle: OUT/TARGET", show_default=False)],
    template: Annotated[
        str, typer.Option(help="`edgepack templates` lists them; default: the target's", show_default=False)
    ] = "",
    format: Annotated[
        str, typer.Option(help="run this format's file; default: the first that passed", show_default=False)
    ] = "",
    package: Annotated[
        str,
        typer.Option(
            help="of the app's code, as in com.example.app; default: com.example.MODEL", show_default=False
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="where the app goes; default: BUNDLE/app", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an app that has been changed")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Render an app for a bundle: code that feeds the model and reads it as the contract says.

    The app holds the model, the labels and the golden vectors: it can be copied anywhere, and needs nothing
    of edgepack. Rendering twice gives the same bytes. What stands in an app that was changed is not replaced
    without --force; what would change is named.
    """
    with Screen(debug=debug) as screen:
        from edgepack.app import render as apps

        goal = out or bundle / "app"
        choice = apps.Choice(template, format, package)
        done = apps.rendered(bundle, goal, choice, force=force)
        if json:
            screen.dump(done)
        else:
            screen.app(done, goal)


@app.command("monitor")
def show_monitoring(
    file: Annotated[Path, typer.Argument(help="what an app's monitoring exported", show_default=False)],
    bundle: Annotated[
        Path | None,
        typer.Option(help="the bundle that the app was rendered from: tells drift", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="where a plot goes, with --bundle: .svg or .png", show_default=False)
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what an app has recorded on a device: latency, memory, heat, and drift from what the build saw.

    Drift is the population stability index of the highest scores and of the inputs' means, with the bound
    that it stays below by chance in 99 of 100 cases.
    """
    with Screen(debug=debug) as screen:
        from edgepack import plot as plots
        from edgepack.app import monitoring
        from edgepack.contract import expected
        from edgepack.errors import PlanError

        if plot:
            plots.check_path(plot)
            if not bundle:
                raise PlanError("--plot draws what was seen beside what was expected: give --bundle")
        found = monitoring.read(file)
        wanted = expected.read(bundle) if bundle else expected.Expected()
        drifts = monitoring.drifts(found, wanted)
        if plot:
            plots.monitored(found, wanted, plot)
        if json:
            told = [{**dataclasses.asdict(each), "verdict": each.verdict} for each in drifts]
            screen.dump({**found.model_dump(mode="json"), "drift": told})
        else:
            screen.monitored(found, drifts, plot)


@app.command()
def doctor(json: Json = False, debug: Debug = False) -> None:
    """Show what this host can do: versions, formats, what is missing and the command that brings it."""
    with Screen(debug=debug) as screen:
        from edgepack import doctor as doctors

        found = doctors.examine()
        if json:
            screen.dump(found)
        else:
            screen.host(found)


emulator = typer.Typer(no_args_is_help=True, help="Set up the ARM emulator, show it, or remove it.")
app.add_typer(emulator, name="emulator")


@emulator.command()
def setup(
    target: Annotated[
        str,
        typer.Option("--target", "-t", help="say first whether this device is emulated", show_default=False),
    ] = "",
    android_libs: Annotated[
        bool,
        typer.Option(
            "--android-libs",
            help="Android's own ONNX Runtime and ExecuTorch, too, for `check --android-libs` (230 MB down)",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Fetch QEMU and the runtimes' ARM builds (about 105 MB) and build what runs them; no root.

    The first `build` or `check` that needs it does the same; this is for a machine that has no network later.
    All is pinned by version and sha256, and lies in the cache folder (EDGEPACK_CACHE).
    """
    with Screen(debug=debug) as screen:
        from edgepack import target as targets
        from edgepack.emulator import arm
        from edgepack.emulator.arm import android_libraries
        from edgepack.errors import TargetError

        if target and targets.load(target).emulator is None:
            raise TargetError(f"{target} is not emulated: its profile has no [emulator]")
        screen.emulator(arm.setup(screen.tell))
        if android_libs:
            screen.android(android_libraries.setup(screen.tell))


@emulator.command()
def status(debug: Debug = False) -> None:
    """Show what is set up, of which versions, where and how large."""
    with Screen(debug=debug) as screen:
        from edgepack.emulator import arm
        from edgepack.emulator.arm import android_libraries

        screen.emulator(arm.status())
        if libraries := android_libraries.libraries():
            screen.android(libraries)


@emulator.command()
def clean(debug: Debug = False) -> None:
    """Remove the emulator from the cache folder."""
    with Screen(debug=debug) as screen:
        from edgepack.emulator import arm

        screen.tell(f"removed: {', '.join(map(str, arm.clean())) or 'nothing was there'}")


def _shown(screen: Screen, entries: list[Any], json: bool, name: str) -> None:
    if json:
        screen.dump(entries[0] if name else entries)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"edgepack {metadata.version('edgepack')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    del version


def _ended(number: int, frame: object) -> None:
    """SIGTERM ends as Ctrl-C does: temporary folders go."""
    del number, frame
    raise KeyboardInterrupt


def main() -> None:
    """The `edgepack` command."""
    signal.signal(signal.SIGTERM, _ended)
    app()


if __name__ == "__main__":
    main()
