"""`edgepack monitor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A file that an app's monitoring exported.", show_default=False),
]
Bundle = Annotated[
    Path | None,
    typer.Option(metavar="BUNDLE", help="The bundle that the app was rendered from, to measure drift."),
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="With --bundle: where to draw a plot, .svg or .png.")
]


def run(screen: Screen, file: File, bundle: Bundle = None, plot: Plot = None, json: JSON = False) -> None:
    """Show what an app recorded on a device: latency, memory, temperature, and drift.

    Drift is the population stability index of the highest scores and of the inputs' means, compared with
    what the build saw. It is shown with the bound that it stays below by chance in 99 of 100 cases.
    """
    import edgepack
    from edgepack import plot as plots

    if plot:
        plots.check_path(plot)
        if not bundle:
            raise edgepack.PlanError("--plot needs --bundle", hint="give the bundle to compare with")
    monitored = edgepack.read_monitoring(file)
    drifts = edgepack.measure_drift(monitored, bundle, plot=plot) if bundle else ()
    if json:
        verdicts = [{**dataclasses.asdict(drift), "verdict": drift.verdict} for drift in drifts]
        screen.dump({**monitored.model_dump(mode="json"), "drift": verdicts})
    else:
        screen.monitored(monitored, drifts, plot)
