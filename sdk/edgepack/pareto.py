"""The Pareto plot: every candidate of a build by its bytes and how well it agrees with float."""

from __future__ import annotations

from pathlib import Path

from edgepack.quiet import quiet
from edgepack.report import Artifact, Report, Tried

_MARKS = "osD^vP*X"


def draw(report: Report, path: Path) -> bool:
    """Write the plot of `report` at `path` (`.svg` or `.png`); whether there was anything to show.

    Agreement in percent over bytes where the model has classes, SQNR in dB where it has none; filled
    marks are shipped. The same report gives the same file.
    """
    shown = [(each, height) for each in report.tried if (height := _height(each.artifact)) is not None]
    if not shown:
        return False
    with quiet():
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context({"svg.hashsalt": "edgepack"}):
            figure = Figure(figsize=(7, 4.5), layout="constrained")
            axes = figure.subplots()
            names = list(dict.fromkeys(each.artifact.format for each, _ in shown))
            for each, height in shown:
                _mark(axes, each, height, names.index(each.artifact.format))
            axes.set_xlabel("bytes, 10⁶")
            axes.set_ylabel(_unit(report))
            axes.set_title(f"{report.target}: {report.model}")
            axes.grid(alpha=0.3)
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return True


def _height(artifact: Artifact) -> float | None:
    figures = artifact.figures
    return figures.agreement if figures.agreement is not None else figures.sqnr_db


def _unit(report: Report) -> str:
    classes = any(each.artifact.figures.agreement is not None for each in report.tried)
    return "agreement with float, %" if classes else "SQNR, dB"


def _mark(axes, each: Tried, height: float, number: int) -> None:  # type: ignore[no-untyped-def]
    artifact = each.artifact
    shipped = each.outcome.startswith("shipped")
    colour = f"C{number}"
    axes.plot(
        artifact.bytes / 1e6,
        height,
        _MARKS[number % len(_MARKS)],
        color=colour,
        fillstyle="full" if shipped else "none",
    )
    label = f"{artifact.format} {artifact.scheme}"
    axes.annotate(
        label,
        (artifact.bytes / 1e6, height),
        textcoords="offset points",
        xytext=(5, -10),
        fontsize=7,
        color=colour,
    )
