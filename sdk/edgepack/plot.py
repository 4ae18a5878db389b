"""Plots: the candidates of a build, the sensitivity of layers, an app's monitoring. SVG or PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.errors import PlanError
from edgepack.report import Artifact, Report, Tried
from edgepack.silence import quiet

if TYPE_CHECKING:
    from edgepack.app.monitoring import Monitored
    from edgepack.compress.sensitivity import LayerSensitivity
    from edgepack.contract.expected import Expected

_MARKS = "osD^vP*X"
ENDINGS = (".svg", ".png")


def check_path(path: Path) -> None:
    """Raise PlanError where no plot can be written at `path`."""
    if path.suffix not in ENDINGS:
        raise PlanError(f"a plot ends in {' or '.join(ENDINGS)}, not '{path.name}'")
    if not path.absolute().parent.is_dir():
        raise PlanError(f"there is no folder {path.parent} for the plot")


def pareto(report: Report, path: Path) -> bool:
    """Draw every candidate of `report` by its bytes and its quality; whether there was any to show.

    Quality is agreement in percent, in the metric of the output's kind, else SQNR in dB; filled marks are
    shipped. The same report gives the same file.
    """
    shown = [(each, height) for each in report.tried if (height := _height(each.artifact)) is not None]
    if not shown:
        return False
    names = list(dict.fromkeys(each.artifact.format for each, _ in shown))

    def draw(axes: Any) -> None:
        for each, height in shown:
            _mark(axes, each, height, names.index(each.artifact.format))
        axes.set_xlabel("bytes, 10⁶")
        axes.set_ylabel(_unit(report))
        axes.set_title(f"{report.target}: {report.model} (filled: shipped)")

    _save(draw, path, (7.0, 4.5))
    return True


def sensitivity(damages: Sequence[LayerSensitivity], title: str, path: Path) -> None:
    """Draw a bar a layer, in the order in which they run as given: the noise that it alone brings."""

    def draw(axes: Any) -> None:
        axes.bar(range(len(damages)), [each.sqnr_db for each in damages])
        axes.set_xticks(range(len(damages)), [each.path for each in damages], rotation=90, fontsize=6)
        axes.set_ylabel("output SQNR with this layer alone in int8, dB")
        axes.set_title(f"{title} (the lower, the more it costs)")

    _save(draw, path, (max(7.0, 0.16 * len(damages)), 5.0))


def monitored(found: Monitored, expected: Expected, path: Path) -> None:
    """Draw what an app has seen beside what the build expects, a panel a histogram.

    Raises PlanError where neither has one.
    """
    panels = [
        (name, seen, wanted)
        for name, seen, wanted in (
            ("highest score", found.top_score, expected.top_score),
            ("mean of the input", found.input_mean, expected.input_mean),
        )
        if seen and wanted.edges
    ]
    if not panels:
        raise PlanError("there is nothing to plot: neither scores nor inputs were counted")

    def draw(axes: Any) -> None:
        place, marks = 0, []
        for name, seen, wanted in panels:
            for counts, label, shift in ((wanted.counts, "expected", -0.2), (seen, "seen", 0.2)):
                shares = [100 * each / max(1, sum(counts)) for each in counts]
                places = [place + number + shift for number in range(len(counts))]
                color = "C7" if label == "expected" else "C0"
                axes.bar(places, shares, 0.4, color=color, label=label if place == 0 else None)
            marks += [(place + number + 0.5, f"{edge:g}") for number, edge in enumerate(wanted.edges)]
            axes.text(place, 101, name)
            place += len(seen) + 2
        axes.set_xticks([at for at, _ in marks], [text for _, text in marks], rotation=90, fontsize=6)
        axes.set_ylabel("share, %")
        axes.set_ylim(0, 110)
        axes.set_title(f"{found.model}: {found.count} inferences")
        axes.legend()

    _save(draw, path, (10.0, 4.5))


def _save(draw: Callable[[Any], None], path: Path, size: tuple[float, float]) -> None:
    with quiet():
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context({"svg.hashsalt": "edgepack"}):
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.subplots()
            draw(axes)
            axes.grid(alpha=0.3)
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _height(artifact: Artifact) -> float | None:
    figures = artifact.figures
    return figures.agreement if figures.agreement is not None else figures.sqnr_db


def _unit(report: Report) -> str:
    found = [each.artifact.figures for each in report.tried]
    if all(figures.agreement is None for figures in found):
        return "SQNR, dB"
    names = {output.metric.name for figures in found for output in figures.by_output if output.metric}
    name = names.pop() if len(names) == 1 else "agreement"
    return f"{name} with float, %"


def _mark(axes: Any, each: Tried, height: float, number: int) -> None:
    artifact = each.artifact
    style = "full" if each.outcome.startswith("shipped") else "none"
    place = (artifact.bytes / 1e6, height)
    axes.plot(*place, _MARKS[number % len(_MARKS)], color=f"C{number}", fillstyle=style)
    label = f"{artifact.format} {artifact.scheme}"
    axes.annotate(label, place, textcoords="offset points", xytext=(5, -10), fontsize=7, color=f"C{number}")
