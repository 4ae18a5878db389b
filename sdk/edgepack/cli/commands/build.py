"""`edgepack build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.cli.command import JSON, VERBOSE

if TYPE_CHECKING:
    from edgepack.cli.screen import Screen
    from edgepack.options import BuildOptions


def run(screen: Screen, options: BuildOptions, verbose: VERBOSE = False, json: JSON = False) -> None:
    """Build a bundle for each target: model files, checked against the float model, and an app.

    The edgepack.toml in the folder of the model supplies further options; a flag overrides the file.
    """
    import edgepack
    from edgepack import report
    from edgepack.errors import CHECK_FAILED

    reports = edgepack.build(options, progress=screen.progress)
    screen.done()
    if json:
        screen.write(report.all_to_json(reports))
    else:
        for each in reports:
            screen.report(each, verbose=verbose)
    screen.exit(0 if all(each.passed for each in reports) else CHECK_FAILED)
