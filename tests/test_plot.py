"""Plots: what they show, where they may go, and that the same data gives the same file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgepack import plot
from edgepack.compress.sensitivity import LayerSensitivity
from edgepack.errors import PlanError
from edgepack.recipe import Recipe
from edgepack.report import Artifact, Figures, Report, Tried
from edgepack.scheme import SchemeName


def _tried(format_name: str, scheme: SchemeName, outcome: str, figures: Figures, size: int = 5000) -> Tried:
    artifact = Artifact(
        file=f"model/net-{scheme}.{format_name}", format=format_name, scheme=scheme, bytes=size,
        bytes_gzip=size, size_ratio=1.0, export_seconds=0.0, figures=figures, checks=(), quantized=None,
        delegated=None, kept_float=(), notes=(), recipe=Recipe(scheme),
    )  # fmt: skip
    return Tried(artifact, outcome)


def _report(*tried: Tried) -> Report:
    return Report("my-board", "net.py:net", "", "", "", (), (), (), "", tried=tried)


WITH_CLASSES = _report(
    _tried("onnx", "w8a8", "shipped", Figures(agreement=98.0, sqnr_db=31.0), 2000),
    _tried("onnx", "fp32", "float reference", Figures(agreement=100.0)),
    _tried("executorch", "w8a8", "slower than float", Figures(agreement=97.0)),
)


def _labels(drawn: str) -> list[str]:
    """Texts of an SVG: matplotlib draws letters as paths and keeps the text in a comment."""
    return re.findall(r"<!-- (.+?) -->", drawn)


def test_candidates_are_drawn_by_bytes_and_agreement_the_shipped_one_filled(tmp_path: Path) -> None:
    assert plot.pareto(WITH_CLASSES, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    told = _labels(drawn)
    assert told.count("onnx w8a8") == told.count("onnx fp32") == told.count("executorch w8a8") == 1
    assert "agreement with float, %" in told
    assert "my-board: net.py:net (filled: shipped)" in told
    assert plot.pareto(WITH_CLASSES, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_bytes() == drawn.encode()


def test_without_classes_quality_is_the_sqnr(tmp_path: Path) -> None:
    assert plot.pareto(_report(_tried("onnx", "w8a8", "shipped", Figures(sqnr_db=31.0))), tmp_path / "a.svg")
    assert "SQNR, dB" in _labels((tmp_path / "a.svg").read_text())


def test_where_nothing_was_measured_nothing_is_drawn(tmp_path: Path) -> None:
    assert not plot.pareto(_report(_tried("coreml", "w8a8", "shipped", Figures())), tmp_path / "a.svg")
    assert not plot.pareto(_report(), tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_an_exact_file_without_classes_has_no_height(tmp_path: Path) -> None:
    exact = _tried("onnx", "fp32", "shipped", Figures(exact=True))
    assert not plot.pareto(_report(exact), tmp_path / "a.svg")


@pytest.mark.parametrize(("ending", "first"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_layers_are_drawn_by_the_ending(tmp_path: Path, ending: str, first: bytes) -> None:
    damages = [LayerSensitivity(f"blocks.{n}", 20.0 + n, 99.0, 300, 1000, 0.1, 0.1) for n in range(10)]
    path = tmp_path / f"layers.{ending}"
    plot.sensitivity(damages, "net.py:net", path)
    drawn = path.read_bytes()
    assert drawn.startswith(first)
    if ending == "svg":
        assert [each for each in _labels(drawn.decode()) if each.startswith("blocks.")] == [
            each.path for each in damages
        ]


def test_a_path_that_cannot_be_drawn_at_is_refused(tmp_path: Path) -> None:
    for ending in plot.ENDINGS:
        plot.check_path(tmp_path / f"a{ending}")
    with pytest.raises(PlanError, match=r"a plot ends in \.svg or \.png, not 'a\.pdf'"):
        plot.check_path(tmp_path / "a.pdf")
    with pytest.raises(PlanError, match="there is no folder"):
        plot.check_path(tmp_path / "gone" / "a.svg")
