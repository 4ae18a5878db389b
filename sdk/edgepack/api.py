"""The Python API: one function per command, which returns what the command prints.

A function whose command is a noun (`plan`, `app`, `doctor`) is named with a verb (`make_plan`, `render_app`,
`examine_host`), because `edgepack.plan` and `edgepack.app` are modules: once one of them is imported, Python
sets it as an attribute of the package and would replace a function of that name.

Nothing heavy is imported before a function is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from edgepack.app.monitoring import Drift, Monitored
    from edgepack.app.render import Rendered
    from edgepack.app.template import Template
    from edgepack.compress.sensitivity import LayerSensitivity
    from edgepack.doctor import Host
    from edgepack.emulator.arm.entry import Entry
    from edgepack.formats import Description
    from edgepack.options import BuildKeywords, BuildOptions, ModelKeywords
    from edgepack.plan import Plan
    from edgepack.progress import Progress
    from edgepack.report import Report
    from edgepack.target import Target


def build(
    model: str | BuildOptions, *, progress: Progress | None = None, **options: Unpack[BuildKeywords]
) -> list[Report]:
    """Build one bundle per target, and return their reports; `Report.passed` is the verdict.

    The keywords are the fields of `BuildOptions`, one per flag of `edgepack build`; they override those of
    `model` if it is a `BuildOptions`. The model's `edgepack.toml`, the target or the default decides what is
    not given. Raises an EdgepackError, and then writes nothing.
    """
    from edgepack import pipeline

    return pipeline.build(make_plan(model, **options), progress)


def make_plan(model: str | BuildOptions, **options: Unpack[BuildKeywords]) -> Plan:
    """What `build` would do with the same arguments, and why.

    Raises the EdgepackErrors that are known before any work.
    """
    from edgepack import plan

    return plan.resolve(_options(model, options))


def measure_sensitivity(
    model: str | BuildOptions,
    *,
    plot: str | Path | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelKeywords],
) -> tuple[LayerSensitivity, ...]:
    """What int8 costs each layer of the model, in execution order; drawn at `plot` (.svg or .png).

    Raises PlanError without calibration samples or for a model without a layer that can be int8.
    """
    from edgepack import plan
    from edgepack import plot as plots

    if plot is not None:
        plots.check_path(Path(plot))
    settled = plan.resolve(_options(model, options))
    from edgepack import pipeline

    layers = pipeline.sensitivity(settled, progress)
    if plot is not None:
        plots.sensitivity(layers, settled.model_name, Path(plot))
    return layers


def check(
    bundle: str | Path,
    *,
    against: str | Path | None = None,
    tolerance: float = 0.5,
    emulator: bool = True,
    android_libs: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Run every artifact of a bundle again, and compare it with what the bundle recorded.

    With `against`, another bundle of the same target, a file fails if it takes over `tolerance` percent more
    instructions than that bundle's. With `android_libs`, an Android bundle is also run by Android's own
    libraries. Raises BundleError if a folder is no bundle.
    """
    from edgepack import verify

    report = verify.check(Path(bundle), progress, emulator=emulator, android_libs=android_libs)
    return report if against is None else verify.against(report, Path(against), tolerance)


def inspect(path: str | Path) -> Description:
    """What a model file contains: inputs, outputs, operators, precision, bytes by layer.

    For a file in a bundle, with the delegates that the bundle's report recorded. Raises BundleError if the
    file is missing, damaged, or of a kind that no format reads.
    """
    from edgepack import bundle

    return bundle.inspect(Path(path))


def render_app(
    bundle: str | Path,
    *,
    template: str = "",
    format: str = "",
    package: str = "",
    out: str | Path | None = None,
    force: bool = False,
) -> Rendered:
    """Render an app for a bundle into `out`, by default BUNDLE/app.

    Raises BundleError if the bundle has no file for it, or if an app was changed and `force` is not given;
    PlanError if the arguments contradict each other.
    """
    from edgepack.app import render

    folder = Path(bundle)
    choice = render.Choice(template, format, package)
    return render.rendered(folder, folder / "app" if out is None else Path(out), choice, force=force)


def read_monitoring(file: str | Path) -> Monitored:
    """What an app recorded on a device. Raises BundleError if the file is not such an export."""
    from edgepack.app import monitoring

    return monitoring.read(Path(file))


def measure_drift(
    monitored: Monitored, bundle: str | Path, *, plot: str | Path | None = None
) -> tuple[Drift, ...]:
    """How far the recorded inputs and scores are from those that the build of `bundle` saw.

    Both are drawn at `plot` (.svg or .png). Raises BundleError if the folder is no bundle.
    """
    from edgepack import plot as plots
    from edgepack.app import monitoring
    from edgepack.contract import expected

    if plot is not None:
        plots.check_path(Path(plot))
    wanted = expected.read(Path(bundle))
    drifts = monitoring.drifts(monitored, wanted)
    if plot is not None:
        plots.monitored(monitored, wanted, Path(plot))
    return drifts


def list_targets() -> list[Target]:
    """The devices that edgepack ships."""
    from edgepack import formats, target

    return [formats.load_target(name) for name in target.names()]


def load_target(name: str) -> Target:
    """The device of this name, or of the profile at the path `name`. Raises TargetError."""
    from edgepack import formats

    return formats.load_target(name)


def list_formats() -> list[dict[str, Any]]:
    """The installed formats: name, suffix, schemes, and what each can do on this host."""
    from edgepack import formats

    return [formats.facts(name) for name in formats.names()]


def list_templates() -> list[Template]:
    """The app templates that edgepack ships."""
    from edgepack.app import template

    return [template.load(name) for name in template.names()]


def examine_host() -> Host:
    """What this host can do: versions, formats, and what is missing."""
    from edgepack import doctor

    return doctor.examine()


def setup_emulator(say: Callable[[str], None] | None = None) -> Entry:
    """Fetch and build the ARM emulator, unless it is set up; `say` is called with each step.

    Raises EdgepackError if this host cannot run it or a download fails.
    """
    from edgepack.emulator import arm

    return arm.setup(say or (lambda _: None))


def find_emulator() -> Entry | None:
    """The ARM emulator that is set up for the installed versions, or None."""
    from edgepack.emulator import arm

    return arm.status()


def remove_emulator() -> list[Path]:
    """Remove the ARM emulator from the cache folder; the folders that were removed."""
    from edgepack.emulator import arm

    return arm.clean()


def _options(model: str | BuildOptions, keywords: Mapping[str, Any]) -> BuildOptions:
    from edgepack import options

    below = {"model": model} if isinstance(model, str) else model.given
    return options.parse({**below, **keywords})
