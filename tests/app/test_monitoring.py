"""Monitoring: an app's export is read, told, and held against what the build expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command

from edgepack import plot
from edgepack.app import monitoring
from edgepack.contract.expected import Expected, Histogram
from edgepack.errors import BundleError, PlanError

EDGES = tuple(float(each) for each in range(1, 10))


def exported(**keys: Any) -> dict[str, Any]:
    times = {"mean": 5.0, "p50": 4.0, "p90": 8.0, "p99": 9.0, "max": 12.5}
    made = {"schema_number": 1, "model": "net [red]x", "file": "net.onnx", "runtime": "ONNX Runtime 1.32"}
    made |= {"device": "", "count": 10, "failures": 1, "load_ms": 40.0, "latency_ms": times}
    made |= {"memory_mb": 31.0, "thermal": {"state": "nominal", "celsius": 41.0}}
    return {**made, "top_score": [1] * 10, "input_mean": None, **keys}


def written(folder: Path, **keys: Any) -> Path:
    path = folder / "monitor.json"
    path.write_text(json.dumps(exported(**keys)))
    return path


def counted(values: np.ndarray) -> tuple[int, ...]:
    return tuple(np.bincount(np.searchsorted(EDGES, values, side="right"), minlength=10).tolist())


def index(seen: np.ndarray, wanted: np.ndarray, folder: Path) -> monitoring.Drift:
    found = monitoring.read(written(folder, top_score=counted(seen)))
    (one,) = monitoring.drifts(found, Expected(top_score=Histogram(edges=EDGES, counts=counted(wanted))))
    return one


@pytest.mark.parametrize(("many", "few"), [(2000, 64), (100, 100), (5000, 200)])
def test_alike_populations_stay_within_chance(tmp_path: Path, many: int, few: int) -> None:
    draw = np.random.default_rng(0)
    out = sum(
        index(draw.normal(5, 2, many), draw.normal(5, 2, few), tmp_path).verdict != "within chance"
        for _ in range(200)
    )
    assert out <= 6  # 1 in 100 is let through


@pytest.mark.parametrize(("shift", "verdict"), [(0.3, "slight drift"), (0.8, "some drift"), (3.0, "drift")])
def test_a_shift_is_told(tmp_path: Path, shift: float, verdict: str) -> None:
    draw = np.random.default_rng(0)
    wanted = draw.normal(5, 2, 20000)
    assert index(draw.normal(5 + shift, 2, 20000), wanted, tmp_path).verdict == verdict


def test_the_index_is_the_symmetric_divergence(tmp_path: Path) -> None:
    seen, wanted = np.array([0.5] * 30 + [1.5] * 70), np.array([0.5] * 60 + [1.5] * 40)
    a, e = np.array([30.5, 70.5]) / 101, np.array([60.5, 40.5]) / 101
    assert index(seen, wanted, tmp_path).index == pytest.approx(float(((a - e) * np.log(a / e)).sum()))


def test_another_build_s_counts_are_refused(tmp_path: Path) -> None:
    found = monitoring.read(written(tmp_path, top_score=[1, 2]))
    with pytest.raises(BundleError, match="2 bins, the bundle in 10") as raised:
        monitoring.drifts(found, Expected(top_score=Histogram(edges=EDGES, counts=(1,) * 10)))
    assert "rendered from" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "file: Invalid JSON"),
        ("[]", "file: "),
        (json.dumps(exported(count="x")), "count: "),
        (json.dumps({**exported(), "more": 1}), "more: "),
        (json.dumps(exported(top_score=[])), "top_score: "),
    ],
)
def test_what_no_app_wrote_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BundleError, match=words):
        monitoring.read(tmp_path / "a.json")
    with pytest.raises(BundleError, match="cannot be read"):
        monitoring.read(tmp_path / "b.json")


def test_the_screen_tells_all_of_it(tmp_path: Path, command: Command, built: Path) -> None:
    expected = Expected.model_validate_json((built / "expected.json").read_text())
    seen = list(expected.input_mean.counts)
    path = written(tmp_path, input_mean=seen, top_score=None)
    done = command("monitor", str(path), "--bundle", str(built), "--plot", str(tmp_path / "m.svg"))
    assert done.code == 0, done.err
    for word in ("net [red]x", "10 inferences, 1 failed", "12.50", "31.0 MB", "41.0 °C", "within chance"):
        assert word in done.out
    assert (tmp_path / "m.svg").read_text().startswith("<?xml")
    told = json.loads(command("monitor", str(path), "--bundle", str(built), "--json").out)
    assert told["drift"][0]["verdict"] == "within chance"
    assert "not measured" in command("monitor", str(path)).out
    assert command("monitor", str(path), "--plot", str(tmp_path / "m.svg")).code == 3
    assert command("monitor", str(tmp_path / "none.json")).code == 6


def test_nothing_counted_is_nothing_to_plot(tmp_path: Path) -> None:
    found = monitoring.read(written(tmp_path, top_score=None))
    with pytest.raises(PlanError, match="nothing to plot"):
        plot.monitored(found, Expected(), tmp_path / "a.svg")
