"""`edgepack sensitivity`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepack.cli.command import JSON, only

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen
    from edgepack.options import BuildOptions

Plot = Annotated[Path, typer.Option(metavar="FILE", help="Where to draw the plot: .svg or .png.")]


@only("model", "targets", "weights", "inputs", "calib", "eval", "trust_pickle")
def run(
    screen: Screen, options: BuildOptions, plot: Plot = Path("sensitivity.svg"), json: JSON = False
) -> None:
    """Show what int8 costs each layer: accuracy of the outputs, bytes and operations.

    Quantizes one layer at a time, in simulation, on calibration samples. The lower the SQNR, the more the
    layer costs. `build` keeps the worst layers in float if its goal needs it.
    """
    import edgepack

    layers = edgepack.measure_sensitivity(options, plot=plot, progress=screen.progress)
    screen.done()
    worst_first = sorted(layers, key=lambda layer: layer.sqnr_db)
    if json:
        screen.dump([dataclasses.asdict(layer) for layer in worst_first])
    else:
        screen.sensitivity(worst_first, plot)
